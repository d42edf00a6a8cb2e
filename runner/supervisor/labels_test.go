package supervisor

import (
	"strings"
	"testing"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// TestLabels: what a service says must steer neither containerd nor other tools.
func TestLabels(t *testing.T) {
	rec := &Metadata{Project: "shop", Service: "web", Number: 2, Name: "shop-web-2", Version: "v1.2", Image: "web:1", Files: []string{"/a", "/b"}, Applied: &planner.Applied{Service: &spec.Service{Labels: map[string]string{
		"team": "core", "containerd.io/restart.status": "running", "long": strings.Repeat("x", 5000), labelProject: "other",
	}, DependsOn: map[string]spec.Dependency{"db": {Condition: spec.ServiceHealthy, Restart: true}, "cache": {Condition: spec.ServiceStarted}}}}}
	got := Labels(rec)
	for key, want := range map[string]string{
		"team": "core", "containerd.io/restart.status": "", "long": "", labelProject: "shop", LabelService: "web", labelNumber: "2", labelOneOff: "False", labelConfigFiles: "/a,/b",
		labelDependsOn: "cache:service_started:false,db:service_healthy:true", labelVersion: "v1.2", labelConfigHash: rec.Applied.Service.Hash("web:1"),
	} {
		if got[key] != want {
			t.Errorf("%s is %q, want %q", key, got[key], want)
		}
	}
}
