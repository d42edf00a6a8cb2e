package supervisor

import (
	"testing"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// TestWhatHasDoneItsWork: all that is meant has ended by itself, well, and stays so.
func TestWhatHasDoneItsWork(t *testing.T) {
	record := func(state planner.State, code int, stopped bool, policy string) Record {
		var rec Record
		rec.Service, rec.Applied = "certs", &planner.Applied{Service: &spec.Service{Restart: policy}}
		rec.State, rec.ExitCode, rec.Stopped = state, code, stopped
		return rec
	}
	done, other := record(planner.Exited, 0, false, "no"), record(planner.Running, 0, false, "no")
	other.Service = "web"
	for name, c := range map[string]struct {
		all  []Record
		want bool
	}{
		"none":          {[]Record{other}, false},
		"it has":        {[]Record{other, done}, true},
		"it runs":       {[]Record{record(planner.Running, 0, false, "no")}, false},
		"it failed":     {[]Record{record(planner.Exited, 1, false, "no")}, false},
		"it is stopped": {[]Record{record(planner.Exited, 0, true, "no")}, false},
		"it comes back": {[]Record{record(planner.Exited, 0, false, "always")}, false},
		"one of two":    {[]Record{done, record(planner.Created, 0, false, "no")}, false},
	} {
		if got := HaveDone(c.all, func(rec *Record) bool { return rec.Service == "certs" }); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
