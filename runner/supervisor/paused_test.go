package supervisor

import (
	"testing"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// TestAPausedContainer holds what follows from each event while the processes of a
// container stand still.
func TestAPausedContainer(t *testing.T) {
	now := newManual().now()
	for name, c := range map[string]struct {
		event   Event
		state   planner.State
		paused  bool
		health  planner.Health
		effects string
	}{
		"it is paused again":           {Frozen{Paused: true}, planner.Running, true, planner.Healthy, ""},
		"it goes on":                   {Frozen{}, planner.Running, false, planner.Healthy, "probe"},
		"a start is asked for":         {StartAsked{}, planner.Running, true, planner.Healthy, ""},
		"it is to end":                 {StopAsked{ByUser: true}, planner.Stopping, true, planner.Healthy, ""},
		"it is killed":                 {Exited{Code: 137, At: now, Now: now}, planner.Restarting, false, planner.NoHealth, "no probes, no names, park, retry in 100ms"},
		"it is changed in place":       {Updated{Terms: Terms{restart: spec.RestartOf("always"), checked: true}}, planner.Running, true, planner.Healthy, "no probes"},
		"its health check is dropped":  {Updated{Terms: Terms{restart: spec.RestartOf("always")}}, planner.Running, true, planner.NoHealth, "no probes"},
		"the next engine finds it so":  {Adopted{Process: ProcessRunning, Paused: true, Now: now}, planner.Running, true, planner.Healthy, "names, route, no probes"},
		"somebody else has resumed it": {Adopted{Process: ProcessRunning, Now: now}, planner.Running, false, planner.Healthy, "names, route, probe"},
		"it went with the machine":     {Adopted{Process: ProcessAbsent, Now: now}, planner.Restarting, false, planner.NoHealth, "no probes, no names, park, try"},
		"its shim was lost":            {Exited{Code: ShimLost, At: now, Lost: true, Now: now}, planner.Restarting, false, planner.NoHealth, "no probes, no names, park, retry in 100ms"},
	} {
		s := stateOf(planner.Running, now)
		s.Paused = true
		after, effects := Next(s, c.event)
		if got := describe(effects, now); after.State != c.state || after.Paused != c.paused || after.Health != c.health || got != c.effects {
			t.Errorf("%s: %s, paused %t, %q: %s", name, after.State, after.Paused, after.Health, got)
		}
	}
	s := stateOf(planner.Exited, now)
	if s, _ = Next(s, Started{At: now}); s.Paused {
		t.Error("a new process counts as paused")
	}
}
