// Package retry says how long to wait before a registry is asked again: after a pause that doubles, of
// which a random part is left out so that many clients don't come back together, or after the time that
// the registry names. It asks nobody itself.
package retry

import (
	"context"
	"errors"
	"math"
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

// After reads a Retry-After (RFC 9110, 10.2.3); 0 is none. What is longer than a duration can say is the longest.
func After(text string, now time.Time) time.Duration {
	const most = int64(math.MaxInt64 / time.Second)
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err == nil || errors.Is(err, strconv.ErrRange) { // then it is the nearest that there is
		return time.Duration(min(max(seconds, 0), most)) * time.Second
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
