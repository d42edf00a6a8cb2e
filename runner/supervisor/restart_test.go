package supervisor

import (
	"sync"
	"testing"
	"time"
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
		if got := isRestarted(test.policy, test.code, test.tries); got != test.want {
			t.Errorf("%q after code %d and %d tries: %v", test.policy, test.code, test.tries, got)
		}
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
