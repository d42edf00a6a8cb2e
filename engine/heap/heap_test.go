package heap

import (
	"runtime/debug"
	"testing"
)

// The heap may grow for as long as one of those is at work who asked for it.
func TestGrow(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	percent := func() int {
		now := debug.SetGCPercent(-1)
		debug.SetGCPercent(now)
		return now
	}
	KeepSmall()
	first, second := Grow(), Grow()
	first()
	if got := percent(); got != busy {
		t.Errorf("while one is at work: %d %%, want %d", got, busy)
	}
	second()
	if got := percent(); got != idle {
		t.Errorf("when nobody is at work: %d %%, want %d", got, idle)
	}
}
