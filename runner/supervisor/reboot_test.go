package supervisor

import (
	"slices"
	"testing"
	"time"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// After a restart of the machine a container that had used up its tries has them all again.
//
// Fault 13: the machine is restarted while a container has been started again as often as its policy allows
// Seen: it comes back at once, and counts as never started again
// Kept: the policy: from then on it has all its tries, and no more
func TestRestartsAreCountedAnewAfterAReboot(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := State{
		Status: Status{State: planner.Running, Wanted: true, Restarts: 2, StartedAt: now.Add(-time.Hour)},
		Terms:  Terms{restart: spec.RestartOf("on-failure:2")},
	}
	s, effects := Next(s, Adopted{Process: ProcessAbsent, Now: now})
	if s.State != planner.Restarting || s.Restarts != 0 || !slices.Contains(effects, Effect(TryStart{})) {
		t.Fatalf("after the reboot: %s, started again %d times, effects %v", s.State, s.Restarts, effects)
	}
	for again := 0; ; again++ {
		if s, _ = Next(s, Started{At: now}); s.State != planner.Running || s.Restarts != again {
			t.Fatalf("started for the %d. time: %s, counted %d", again+1, s.State, s.Restarts)
		}
		now = now.Add(time.Second)
		s, _ = Next(s, Exited{Code: 1, At: now, Now: now})
		if s.State != planner.Restarting {
			if s.State != planner.Exited || again != 2 {
				t.Errorf("%s after %d further tries, want exited after 2", s.State, again)
			}
			return
		}
		now = s.RetryAt
		s, _ = Next(s, BackOffOver{Due: now})
	}
}

// A process that was started, and has ended before any engine could say either, has run: a
// one-shot is not run once more.
func TestAProcessThatNobodySawHasRun(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := State{Status: Status{State: planner.Created}, Terms: Terms{restart: spec.RestartOf("no")}}
	found, _ := Next(s, Adopted{Process: ProcessAbsent, Code: 3, At: now, Now: now.Add(time.Second)})
	if found.State != planner.Exited || found.ExitCode != 3 || !found.ExitedAt.Equal(now) || !found.Wanted || found.Stopped {
		t.Errorf("it is %+v", found.Status)
	}
	if never, _ := Next(s, Adopted{Process: ProcessAbsent, Now: now}); never.State != planner.Created {
		t.Errorf("one that was never started is %s", never.State)
	}
	before := State{Status: Status{State: planner.Exited, ExitedAt: now, Stopped: true}}
	if known, _ := Next(before, Adopted{Process: ProcessAbsent, Code: 3, At: now, Now: now}); known.ExitCode != 0 || !known.Stopped {
		t.Errorf("one whose end is known is %+v", known.Status)
	}
	again := State{Status: Status{State: planner.Restarting, ExitedAt: now, Wanted: true}, Terms: Terms{restart: spec.RestartOf("on-failure")}}
	if tried, _ := Next(again, Adopted{Process: ProcessAbsent, At: now.Add(time.Minute), Now: now.Add(time.Hour)}); tried.State != planner.Exited {
		t.Errorf("one whose next try went well is %s", tried.State)
	}
}
