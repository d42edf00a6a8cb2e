package supervisor

import (
	"testing"
	"time"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// What ends well by a signal has completed nothing, whether the end or the signal is told first; what ends long after it, with an error, or
// was begun since, has ended by itself.
func TestWhatEndsByASignalIsNotCompleted(t *testing.T) {
	begun := time.Unix(1000, 0)
	sent := begun.Add(time.Hour)
	for name, c := range map[string]struct {
		events []Event
		want   bool
	}{
		"told in order":     {[]Event{Signalled{Signal: 15, At: sent}, Exited{At: sent.Add(time.Second), Now: sent}}, true},
		"the end first":     {[]Event{Exited{At: sent.Add(time.Millisecond), Now: sent}, Signalled{Signal: 15, At: sent}}, true},
		"with an error":     {[]Event{Signalled{Signal: 15, At: sent}, Exited{Code: 143, At: sent.Add(time.Second), Now: sent}}, false},
		"long after it":     {[]Event{Signalled{Signal: 1, At: sent}, Exited{At: sent.Add(time.Minute), Now: sent}}, false},
		"of the run before": {[]Event{Signalled{Signal: 1, At: begun.Add(-time.Second)}, Exited{At: begun.Add(time.Second), Now: sent}}, false},
		"without any":       {[]Event{Exited{At: sent, Now: sent}}, false},
	} {
		s := State{Status: Status{State: planner.Running, Wanted: true, StartedAt: begun}, Terms: Terms{restart: spec.RestartOf("no")}}
		for _, e := range c.events {
			s, _ = Next(s, e)
		}
		if s.State != planner.Exited || s.Stopped != c.want {
			t.Errorf("%s: %s, stopped: %t", name, s.State, s.Stopped)
		}
	}
}
