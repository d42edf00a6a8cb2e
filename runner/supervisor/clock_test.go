package supervisor

import (
	"testing"
	"time"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// TestAClockThatJumps runs a container that ends at once, again and again, while
// the wall clock is set by an hour. What is waited for is a span from now, by a
// clock that nobody sets; only what is shown are times of the day.
//
// Fault 32: the clock is set forwards and back by an hour while a service is between two tries
// Seen: the next try comes after its pause, never an hour late; after a jump forwards the pauses begin anew, once
// Kept: no storm of restarts: the pause grows to its bound with either clock
func TestAClockThatJumps(t *testing.T) {
	for name, jump := range map[string]time.Duration{"forwards": time.Hour, "back": -time.Hour, "not at all": 0} {
		wall := time.Unix(1_700_000_000, 0)
		s := State{Status: Status{State: planner.Created}, Terms: Terms{restart: spec.RestartOf("always")}}
		var waited time.Duration
		tries := 0
		for waited < 30*time.Minute {
			s, _ = Next(s, Started{At: wall})
			if tries == 15 {
				wall = wall.Add(jump)
			}
			s, _ = Next(s, Exited{Code: 1, At: wall, Now: wall})
			pause := s.RetryAt.Sub(wall)
			if s.State != planner.Restarting || pause < firstDelay || pause > lastDelay {
				t.Fatalf("%s: after try %d it is %s and waits for %s", name, tries, s.State, pause)
			}
			wall, waited = wall.Add(pause), waited+pause
			s, _ = Next(s, BackOffOver{Due: s.RetryAt})
			tries++
		}
		if want := 48; tries > want {
			t.Errorf("the clock jumps %s: %d tries in half an hour, at most %d are wanted", name, tries, want)
		}
	}
}
