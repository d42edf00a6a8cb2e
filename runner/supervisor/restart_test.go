package supervisor

import (
	"sync"
	"testing"
	"time"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

func TestRestartPolicies(t *testing.T) {
	for _, test := range []struct {
		policy string
		code   int
		tries  int
		want   bool
	}{
		{"", 1, 0, false}, {"no", 1, 0, false}, {"always", 0, 99, true}, {"always", 1, 0, true}, {"unless-stopped", 0, 0, true},
		{"on-failure", 0, 0, false}, {"on-failure", 1, 99, true}, {"on-failure:3", 1, 2, true}, {"on-failure:3", 1, 3, false}, {"on-failure:3", 0, 0, false},
	} {
		if got := isRestarted(spec.RestartOf(test.policy), test.code, test.tries); got != test.want {
			t.Errorf("%q after code %d and %d tries: %v", test.policy, test.code, test.tries, got)
		}
	}
}

// TestARestartPolicyIsKept runs a container that ends with code 1 after some time,
// again and again, until it is given up.
func TestARestartPolicyIsKept(t *testing.T) {
	most, delay, window := 2, spec.Duration(3*time.Second), spec.Duration(10*time.Second)
	for name, test := range map[string]struct {
		policy spec.RestartPolicy
		mode   string
		code   int
		runs   []time.Duration // how long each run takes; the last one is the last of all
		pause  time.Duration   // 0: one that grows
	}{
		"any number of tries":           {spec.RestartPolicy{}, "", 0, make([]time.Duration, 50), 0},
		"so many":                       {spec.RestartPolicy{MaxAttempts: &most}, "", 0, make([]time.Duration, 3), 0},
		"after a pause":                 {spec.RestartPolicy{MaxAttempts: &most, Delay: &delay}, "", 1, make([]time.Duration, 3), time.Duration(delay)},
		"one that runs long counts not": {spec.RestartPolicy{MaxAttempts: &most, Window: &window}, "", 1, []time.Duration{0, time.Minute, 0, time.Minute, 0}, 0},
		"not after code 0":              {spec.RestartPolicy{Condition: "on-failure"}, "", 0, make([]time.Duration, 1), 0},
		"nor of a job":                  {spec.RestartPolicy{}, spec.DeployReplicatedJob, 0, make([]time.Duration, 1), 0},
		"a job that fails":              {spec.RestartPolicy{}, spec.DeployGlobalJob, 1, make([]time.Duration, 50), 0},
		"never":                         {spec.RestartPolicy{Condition: "none"}, "", 1, make([]time.Duration, 1), 0},
	} {
		service := &spec.Service{Restart: "always", Deploy: &spec.Deploy{Mode: test.mode, RestartPolicy: &test.policy}}
		now := time.Unix(1_700_000_000, 0)
		s := State{Status: Status{State: planner.Created}, Terms: Terms{restart: service.RestartTerms()}}
		for i, run := range test.runs {
			s, _ = Next(s, Started{At: now})
			now = now.Add(run)
			s, _ = Next(s, Exited{Code: test.code, At: now, Now: now})
			isLast := i == len(test.runs)-1 && i < 40
			if want := planner.Restarting; isLast == (s.State == want) {
				t.Fatalf("%s: after run %d it is %s", name, i, s.State)
			}
			if isLast {
				break
			}
			if pause := s.RetryAt.Sub(now); test.pause != 0 && pause != test.pause {
				t.Errorf("%s: the pause is %s, want %s", name, pause, test.pause)
			}
			now = s.RetryAt
			s, _ = Next(s, BackOffOver{Due: now})
		}
	}
}

// TestTriesThatCantStartCount holds that who may be tried twice is not tried for ever.
func TestTriesThatCantStartCount(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	s := State{Status: Status{State: planner.Running, Wanted: true, StartedAt: now}, Terms: Terms{restart: spec.RestartOf("on-failure:2")}}
	s, _ = Next(s, Exited{Code: 1, At: now, Now: now})
	for i := range 2 {
		s, _ = Next(s, BackOffOver{Due: s.RetryAt})
		s, _ = Next(s, StartFailed{Reason: "no such directory", Now: now})
		if isOver := s.State == planner.Exited; isOver != (i == 1) {
			t.Fatalf("after try %d it is %s", i+1, s.State)
		}
	}
	if s.Error != "no such directory" {
		t.Errorf("and says %q", s.Error)
	}
}

func TestBackOffGrowsToItsBound(t *testing.T) {
	clock := newManual()
	var s State
	var last time.Duration
	for i := range 15 {
		s, _ = s.backOff(clock.now())
		if i == 0 && s.delay != firstDelay || s.delay < last || s.delay > lastDelay || i > 0 && s.delay != min(2*last, lastDelay) {
			t.Fatalf("delay %d is %s after %s", i, s.delay, last)
		}
		if want := clock.now().Add(s.delay); !s.RetryAt.Equal(want) {
			t.Errorf("the next try is at %s, want %s", s.RetryAt, want)
		}
		last = s.delay
	}
	if last != lastDelay {
		t.Errorf("the delay ends at %s", last)
	}
}

// manual is a clock that the test moves.
type manual struct {
	mu sync.Mutex
	at time.Time // guarded by mu
}

func newManual() *manual { return &manual{at: time.Unix(1_700_000_000, 0).UTC()} }

func (m *manual) now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at
}

func (m *manual) move(d time.Duration) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at = m.at.Add(d)
	return m.at
}
