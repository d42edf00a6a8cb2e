package privilege

import (
	"testing"

	"github.com/orlop/orlop/spec"
)

// TestAContextFetchedOverSSHIsListed: whoever wrote its Dockerfile can use the agent.
func TestAContextFetchedOverSSHIsListed(t *testing.T) {
	for context, want := range map[string]int{"git@example.com:a/b.git": 1, "ssh://git@example.com/a/b.git": 1, "https://example.com/a/b.git": 0} {
		p := &spec.Project{Services: map[string]*spec.Service{"a": {Build: &spec.Build{Context: context, AdditionalContexts: map[string]string{"x": context}}}}}
		got := Of(p, "/p")
		if len(got) != 2*want {
			t.Errorf("%s: %v", context, got)
		}
	}
}
