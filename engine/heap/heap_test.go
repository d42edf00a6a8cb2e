package heap

import (
	"runtime/debug"
	"testing"
	"testing/synctest"
	"time"
)

// The heap may grow for as long as one of those is at work who asked for it, and a while after.
func TestGrow(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	synctest.Test(t, func(t *testing.T) {
		is := func(when string, want int) {
			t.Helper()
			synctest.Wait()
			now := debug.SetGCPercent(-1)
			if debug.SetGCPercent(now); now != want {
				t.Errorf("%s: %d %%, want %d", when, now, want)
			}
		}
		var g Governor
		g.KeepSmall()
		is("at first", idle)
		first, second := g.Grow(), g.Grow()
		first()
		time.Sleep(2 * rest)
		is("while one is at work", busy)
		second()
		time.Sleep(rest / 2)
		is("when nobody is any more", busy)
		third := g.Grow()
		time.Sleep(2 * rest)
		is("while another is", busy)
		third()
		time.Sleep(2 * rest)
		is("after a while", idle)
	})
}
