package cmd

import (
	"os"
	"time"
)

// Signals that follow each other this soon are one wish: timeout and shells
// signal a program and then its process group. Ctrl-C may be pressed twice in
// a hurry, but not that fast.
const (
	oneWish      = 300 * time.Millisecond
	oneInterrupt = 10 * time.Millisecond
)

// Wishes passes signals on, those that repeat a wish left out. It ends with in.
func Wishes(in <-chan os.Signal, now func() time.Time) <-chan os.Signal {
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

// isRepeated says that a signal is the same wish as the one before it.
func isRepeated(s os.Signal, before, at time.Time) bool {
	within := oneWish
	if s == os.Interrupt {
		within = oneInterrupt
	}
	return !before.IsZero() && at.Sub(before) < within
}
