package runner

import (
	"context"
	"testing"

	"github.com/orlop/orlop/keeper"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/ports"
	"github.com/orlop/orlop/runner/supervisor"
	"github.com/orlop/orlop/spec"
)

// somePorts are published ports by key.
type somePorts struct {
	ports.Listeners
	held map[string]uint16
}

func (p *somePorts) Close(_ context.Context, key string) error {
	delete(p.held, key)
	return nil
}

func (p *somePorts) Ports(context.Context) ([]keeper.PortState, error) {
	var list []keeper.PortState
	for key := range p.held {
		list = append(list, keeper.PortState{Port: keeper.Port{Key: key}})
	}
	return list, nil
}

func TestWhatHasEndedIsPublishedNoMore(t *testing.T) {
	published := []planner.Binding{{HostIP: "0.0.0.0", HostPort: 80, Target: 80, Protocol: "tcp"}}
	for _, c := range []struct {
		state  planner.State
		yields bool
		want   int
	}{
		{planner.Running, false, 1},
		{planner.Restarting, false, 1},
		{planner.Exited, false, 0},
		{planner.Exited, true, 1}, // another is about to take its place
	} {
		got := (&container{made: &supervisor.Metadata{}, state: supervisor.State{Status: supervisor.Status{State: c.state, Published: published}}, yields: c.yields}).observe()
		if len(got.Published) != c.want {
			t.Errorf("%s, yields %t: published as %v", c.state, c.yields, got.Published)
		}
	}
}

// Each one-off has ports of its own; those of a replica are its place's.
func TestWhoGoesGivesItsPortsBack(t *testing.T) {
	for name, c := range map[string]struct {
		oneOffs, goes bool // the two are one-offs; the other is being removed, too
		want          int
	}{
		"one-offs":                         {true, false, 1},
		"one-offs that go together":        {true, true, 1},
		"a successor has the place":        {false, false, 1},
		"a second of the number goes, too": {false, true, 0},
	} {
		service := &spec.Service{Ports: []spec.Port{{Target: 80, Published: "80", Protocol: "tcp"}}}
		held := &somePorts{held: map[string]uint16{}}
		r := &Runner{ports: ports.New(held, nil), containers: map[string]*container{}}
		var list []*container
		for _, id := range []string{"aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"} {
			rec := &supervisor.Record{Metadata: supervisor.Metadata{ID: id, Project: "p", Service: "web", OneOff: c.oneOffs, Applied: &planner.Applied{Service: service}}}
			k := &container{r: r, id: id, project: "p", made: &rec.Metadata}
			k.state.Published, k.state.Removing = make([]planner.Binding, 1), c.goes
			r.containers[id] = k
			list = append(list, k)
			owner := r.portOwner(rec)
			held.held[owner.Place()+"tcp//80/80"] = 80
		}
		r.unpublish(t.Context(), list[0])
		if len(held.held) != c.want {
			t.Errorf("%s: held are %v", name, held.held)
		}
	}
}
