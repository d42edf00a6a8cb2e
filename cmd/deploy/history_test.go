package deploy

import (
	"slices"
	"testing"

	core "github.com/orlop/orlop/deploy"
	"github.com/orlop/orlop/spec"
)

func TestARevisionThatAnotherHasFollowedIsNotDeployingAnyMore(t *testing.T) {
	var revisions []*core.Revision
	for i, state := range []string{core.StateDeployed, core.StateDeploying, core.StateFailed, core.StateDeploying} {
		revisions = append(revisions, &core.Revision{Number: i + 1, State: state, Document: core.NewDocument(&spec.Project{Name: "shop"}, nil)})
	}
	var states []string
	for _, l := range revisionLines(revisions, func(text string) string { return text }) {
		states = append(states, l.State)
	}
	if want := []string{"deployed", "cut off", "failed", "deploying"}; !slices.Equal(states, want) {
		t.Errorf("they are %q, want %q", states, want)
	}
}
