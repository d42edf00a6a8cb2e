package cmd

import (
	"testing"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// TestWhomToAttachTo: of containers by service and number; runs are left out, as in Compose.
func TestWhomToAttachTo(t *testing.T) {
	k := func(id, service string, number int, state planner.State) planner.Container {
		return planner.Container{ID: id, Service: service, Number: number, State: state, OneOff: number == 0, Applied: &planner.Applied{Service: &spec.Service{}}}
	}
	first, second, run := k("first", "web", 1, planner.Running), k("second", "web", 2, planner.Running), k("run", "web", 0, planner.Running)
	ended, paused := k("ended", "web", 1, planner.Exited), first
	paused.ID, paused.Paused = "paused", true
	bare := first
	bare.Applied = nil
	for name, c := range map[string]struct {
		known []planner.Container
		index int
		want  string // an ID, or the error
	}{
		"the first":                     {[]planner.Container{first, second, run}, 0, "first"},
		"the one that is asked for":     {[]planner.Container{first, second}, 2, "second"},
		"one that runs":                 {[]planner.Container{ended, second}, 0, "second"},
		"one that is not paused":        {[]planner.Container{paused, second}, 0, "second"},
		"what there is, to be told why": {[]planner.Container{ended}, 0, "ended"},
		"no run":                        {[]planner.Container{run, ended}, 0, "ended"},
		"nothing but a run":             {[]planner.Container{run}, 0, `service web has no container to attach to: "orlop up -d web" makes it`},
		"no such number":                {[]planner.Container{first, run}, 3, `service web has no container 3: see "orlop ps -a web"`},
		"none":                          {[]planner.Container{k("x", "db", 1, planner.Running)}, 0, `service web has no container to attach to: "orlop up -d web" makes it`},
		"one of which nothing is known": {[]planner.Container{bare}, 0, `service web has no container to attach to: "orlop up -d web" makes it`},
	} {
		found, err := attachTarget(c.known, "web", c.index)
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			got = found.ID
		}
		if got != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}
