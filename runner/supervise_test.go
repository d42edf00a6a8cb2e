package runner

import (
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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
	var s state
	var last time.Duration
	for i := range 15 {
		s, _ = s.backOff(clock.now())
		if i == 0 && s.delay != firstDelay || s.delay < last || s.delay > lastDelay || i > 0 && s.delay != min(2*last, lastDelay) {
			t.Fatalf("delay %d is %s after %s", i, s.delay, last)
		}
		if want := clock.now().Add(s.delay); !s.retryAt.Equal(want) {
			t.Errorf("the next try is at %s, want %s", s.retryAt, want)
		}
		last = s.delay
	}
	if last != lastDelay {
		t.Errorf("the delay ends at %s", last)
	}
}

func TestSignals(t *testing.T) {
	for name, want := range map[string]syscall.Signal{"": unix.SIGKILL, "TERM": unix.SIGTERM, "SIGUSR1": unix.SIGUSR1, "sigint": unix.SIGINT, "9": unix.SIGKILL} {
		if got, err := parseSignal(name); got != want || err != nil {
			t.Errorf("parseSignal(%q): %v, %v", name, got, err)
		}
	}
	if _, err := parseSignal("SIGNONSENSE"); err == nil || !strings.Contains(err.Error(), `"SIGNONSENSE"`) {
		t.Errorf("nonsense: %v", err)
	}
	for name, want := range map[string]syscall.Signal{"": unix.SIGTERM, "SIGQUIT": unix.SIGQUIT, "nonsense": unix.SIGTERM, "3": unix.SIGQUIT} {
		if got := stopSignal(name); got != want {
			t.Errorf("stopSignal(%q) is %v", name, got)
		}
	}
}

// TestIgnoredSignals asks about this process: the masks in /proc tell which
// signals it handles.

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
