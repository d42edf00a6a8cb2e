package cli

import (
	"testing"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// TestBasesThatAreAskedForAnew are those of builds that pull, by the flag or by the stack file: what is here says
// nothing of them.
func TestBasesThatAreAskedForAnew(t *testing.T) {
	of := func(pull bool) *spec.Service { return &spec.Service{Build: &spec.Build{Context: "/c", Pull: pull}} }
	p := Application{Project: &spec.Project{
		Services: map[string]*spec.Service{"keeps": of(false), "pulls": of(true)}, Jobs: map[string]*spec.Service{"job": of(true)},
		Bases: map[string]*spec.Service{"base": of(true)},
	}}
	inputs := map[string]*planner.Inputs{}
	for _, name := range []string{"keeps", "pulls", "job", "base"} {
		inputs[name] = &planner.Inputs{Bases: map[string]string{"r.test/of-" + name + ":1": ""}}
	}
	p.Options.Inputs, p.Options.BuildOnly = inputs, true
	for flag, want := range map[bool]map[string]bool{
		false: {"r.test/of-keeps:1": false, "r.test/of-pulls:1": true, "r.test/of-job:1": true, "r.test/of-base:1": true},
		true:  {"r.test/of-keeps:1": true, "r.test/of-pulls:1": true, "r.test/of-job:1": true, "r.test/of-base:1": true},
	} {
		p.Builds.Pull = flag
		wanted, err := wantedOf(p)
		if err != nil || len(wanted) != len(want) {
			t.Fatalf("%v, %v", wanted, err)
		}
		for _, w := range wanted {
			if w.Anew != want[w.Name] {
				t.Errorf("pull=%v: %s is asked for anew: %v", flag, w.Name, w.Anew)
			}
		}
	}
}
