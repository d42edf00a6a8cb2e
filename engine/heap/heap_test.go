package heap

import (
	"runtime"
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

// A large heap may grow by less than a small one of what it is.
func TestPercent(t *testing.T) {
	for live, want := range map[uint64]int{0: busy, 1 << 20: busy, 20 << 20: busy, 40 << 20: 100, 50 << 20: 80, 80 << 20: idle, 1 << 40: idle} {
		if got := percent(live); got != want {
			t.Errorf("of %d MB: %d %%, want %d", live>>20, got, want)
		}
	}
}

// What the heap may grow by follows from what is in use of it after each collection.
func TestFollow(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	collected := make(chan struct{}, 1)
	g := Governor{told: func() {
		select {
		case collected <- struct{}{}:
		default:
		}
	}}
	defer g.KeepSmall()
	defer g.Grow()()
	is := func(want func(int) bool) bool {
		for range 100 { // what a collection has left is known to the next one
			runtime.GC()
			<-collected
			g.mu.Lock()
			now := debug.SetGCPercent(-1)
			debug.SetGCPercent(now)
			g.mu.Unlock()
			if want(now) {
				return true
			}
		}
		return false
	}
	used := make([]byte, 60<<20)
	if !is(func(percent int) bool { return percent < 100 }) {
		t.Error("a large heap may be twice as large")
	}
	runtime.KeepAlive(used)
	if !is(func(percent int) bool { return percent == busy }) {
		t.Error("one that is small again may not grow as a small one")
	}
}
