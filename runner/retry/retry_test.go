package retry

import (
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]time.Duration{"": 0, "3": 3 * time.Second, "-1": 0, "x": 0, "Fri, 02 Jan 2026 03:05:05 GMT": time.Minute, "Fri, 02 Jan 2026 03:00:00 GMT": 0} {
		if got := After(text, now); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestPausesDouble(t *testing.T) {
	for i, want := range []time.Duration{First, 2 * First, 4 * First} {
		if got, least := Pause(i+1, 0), Pause(i+1, 1); got != want || least != want/2 {
			t.Errorf("%d: from %v to %v", i, least, got)
		}
	}
}
