package retry

import (
	"math"
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	const longest = math.MaxInt64 / time.Second * time.Second
	for text, want := range map[string]time.Duration{"": 0, "3": 3 * time.Second, "-1": 0, "x": 0, "9223372036854775807": longest, "99999999999999999999999": longest, "9300000000": longest, "18446744074": longest, "-99999999999999999999999": 0, "Fri, 31 Dec 9999 23:59:59 GMT": math.MaxInt64,
		"Fri, 02 Jan 2026 03:05:05 GMT": time.Minute, "Fri, 02 Jan 2026 03:00:00 GMT": 0} {
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
