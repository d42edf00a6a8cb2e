package cmd

import (
	"os"
	"time"
)

// Signals that follow each other this soon count once: timeout and shells signal
// a program and then its process group. Ctrl-C may be pressed twice in
// a hurry, but not that fast.
const (
	repeatedWithin = 300 * time.Millisecond
	pressedWithin  = 10 * time.Millisecond
)

// WithoutRepeats passes signals on, but those that only repeat the one before.
// It ends with in.
func WithoutRepeats(in <-chan os.Signal, now func() time.Time) <-chan os.Signal {
	out := make(chan os.Signal, cap(in))
	go func() {
		defer close(out)
		last := map[os.Signal]time.Time{}
		for s := range in {
			at := now()
			if !isRepeated(s, last[s], at) {
				out <- s
			}
			last[s] = at
		}
	}()
	return out
}

// isRepeated says that a signal only repeats the one before it.
func isRepeated(s os.Signal, before, at time.Time) bool {
	within := repeatedWithin
	if s == os.Interrupt {
		within = pressedWithin
	}
	return !before.IsZero() && at.Sub(before) < within
}
