package work

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestNothingBeginsAfterTheEnd: whatever begins beside the end is either waited
// for or refused.
func TestNothingBeginsAfterTheEnd(t *testing.T) {
	for range 200 {
		var w Group
		var going atomic.Int32
		var wg sync.WaitGroup
		start := make(chan struct{})
		for range 8 {
			wg.Go(func() {
				<-start
				done, err := w.Begin()
				if err != nil {
					if !errors.Is(err, ErrEnding) {
						t.Error(err)
					}
					return
				}
				going.Add(1)
				going.Add(-1)
				done()
			})
		}
		close(start)
		if !w.End(time.Minute) {
			t.Error("what goes on does not end")
		}
		if _, err := w.Begin(); !errors.Is(err, ErrEnding) {
			t.Errorf("it begins: %v", err)
		}
		if n := going.Load(); n != 0 {
			t.Errorf("%d go on after the end", n)
		}
		wg.Wait()
	}
}

func TestTheEndWaitsForWhatWasBegunAndNotForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w Group
		began := time.Now()
		w.Run(func() { time.Sleep(20 * time.Second) })
		if w.End(15*time.Second) || time.Since(began) != 15*time.Second {
			t.Errorf("it says that all has ended after %s", time.Since(began))
		}
		if !w.End(15*time.Second) || time.Since(began) != 20*time.Second {
			t.Errorf("it does not see the end, after %s", time.Since(began))
		}
		w.Run(func() { t.Error("it runs after the end") })
		synctest.Wait()
	})
}
