package target

import (
	"testing"

	"github.com/orlop/orlop/planner"
)

func TestExecJoinsTheFirstThatRunsAndARunLast(t *testing.T) {
	k := func(id string, number int, oneOff bool, state planner.State) planner.Container {
		return planner.Container{ID: id, Service: "web", Number: number, OneOff: oneOff, State: state}
	}
	first, second := k("first", 1, false, planner.Running), k("second", 2, false, planner.Running)
	ended, run := k("ended", 1, false, planner.Exited), k("run", 0, true, planner.Running)
	other := planner.Container{ID: "other", Service: "db", Number: 1, State: planner.Running}
	for name, c := range map[string]struct {
		list   []planner.Container
		number int
		want   string
	}{
		"the first":                              {[]planner.Container{second, first, run, other}, 0, "first"},
		"the one that is asked for":              {[]planner.Container{first, second, run}, 2, "second"},
		"one that has ended, if asked for":       {[]planner.Container{ended, second, run}, 1, "ended"},
		"one that runs before one that does not": {[]planner.Container{ended, second}, 0, "second"},
		"a run where nothing else runs":          {[]planner.Container{run, ended}, 0, "run"},
		"no run by a number":                     {[]planner.Container{run}, 1, ""},
		"none of another service":                {[]planner.Container{other}, 0, ""},
	} {
		got := ""
		if found := In(c.list, "web", c.number); found != nil {
			got = found.ID
		}
		if got != c.want {
			t.Errorf("%s: joins %q, want %q", name, got, c.want)
		}
	}
}
