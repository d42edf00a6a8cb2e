package deploy

import (
	"testing"
	"time"

	"github.com/orlop/orlop/deploy/rollout"
)

func TestAContainerGoesOnFromWhenItWasSeenFirst(t *testing.T) {
	const short, long = time.Second, 5 * time.Second
	s := settling{}
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i, c := range []struct {
		after time.Duration
		done  bool
		young map[string]time.Duration
		left  time.Duration
	}{
		{0, false, map[string]time.Duration{"a 0": short}, 0}, // there is more to wait for
		{600 * time.Millisecond, true, map[string]time.Duration{"a 0": short}, 400 * time.Millisecond},
		{800 * time.Millisecond, true, map[string]time.Duration{"a 0": short, "b 0": short}, time.Second},
		{900 * time.Millisecond, true, map[string]time.Duration{"a 0": short, "b 0": short}, 900 * time.Millisecond},
		{3 * time.Second, true, map[string]time.Duration{"a 0": short, "b 1": long}, long}, // started again
		{8 * time.Second, true, map[string]time.Duration{"a 0": short, "b 1": long}, 0},
		{9 * time.Second, true, nil, 0},
	} {
		if got := s.left(rollout.State{Done: c.done, Young: c.young}, began.Add(c.after)); got != c.left {
			t.Errorf("%d: %v are left, want %v", i, got, c.left)
		}
	}
}
