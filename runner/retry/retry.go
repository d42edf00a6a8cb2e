// Package retry says how long to wait before a registry is asked again: after a pause that doubles, of
// which a random part is left out so that many clients don't come back together, or after the time that
// the registry names. It asks nobody itself.
package retry

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

// Attempts is how often something is tried in all, Longest how long a registry may ask to wait.
const (
	Attempts = 5
	Longest  = time.Minute
)

// First is the first pause.
const First = 250 * time.Millisecond

// Pause is how long to wait after some attempts that failed; random is from 0 to 1.
func Pause(attempts int, random float64) time.Duration {
	d := First << (attempts - 1)
	return d - time.Duration(random*float64(d/2))
}

// After reads a Retry-After (RFC 9110, 10.2.3); 0 is none.
func After(text string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(text); err == nil {
		return time.Duration(max(seconds, 0)) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

// Sleep waits, unless the context ends before.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
