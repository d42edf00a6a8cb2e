package planner_test

import (
	"slices"
	"testing"

	. "github.com/orlop/orlop/planner"
)

// TestAStartIsWaitedFor: for each service that has containers, started by it or not.
func TestAStartIsWaitedFor(t *testing.T) {
	o := &Observed{Containers: []Container{
		{ID: "1", Service: "web", Number: 1, State: Exited}, {ID: "2", Service: "db", Number: 1, State: Running}, {ID: "3", Service: "job", State: Running, OneOff: true},
	}}
	for name, c := range map[string]struct {
		services []string
		want     []string
	}{
		"all":  {nil, []string{"start web/1", "await db ready", "await web ready"}},
		"some": {[]string{"web"}, []string{"start web/1", "await web ready"}},
	} {
		p := Lifecycle("shop", o, Start, c.services, "")
		p.AwaitReady(o, c.services)
		var ids []string
		for _, s := range p.Steps {
			ids = append(ids, s.ID)
		}
		if !slices.Equal(ids, c.want) {
			t.Errorf("%s: the steps are %q", name, ids)
		}
		if last := p.Steps[len(p.Steps)-1]; !slices.Equal(last.Needs, []string{"start web/1"}) {
			t.Errorf("%s: the wait needs %q", name, last.Needs)
		}
	}
}
