package loop

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
)

// bursts plays events on a fake clock, one after each pause, and gives the
// sizes of the bursts that they are handed on as, and how long after the last
// event the last burst came. Every path of an event counts as changed unless
// changes is false.
func bursts(t *testing.T, pauses []time.Duration, changes bool) (sizes []int, lag time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		events := make(chan fsnotify.Event)
		c := &collector{events: events, batches: make(chan batch), now: time.Now}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go c.run(ctx, func(error) {})
		var last atomic.Int64
		go func() {
			for i, p := range pauses {
				time.Sleep(p)
				last.Store(time.Now().UnixNano())
				events <- fsnotify.Event{Name: fmt.Sprint("/", i)}
			}
			time.Sleep(time.Minute)
			cancel()
		}()
		var b burst
		for {
			wait := time.Hour
			if at := b.due(); !at.IsZero() {
				wait = time.Until(at)
			}
			select {
			case <-ctx.Done():
				return
			case events := <-c.batches:
				var changed []string
				if changes {
					changed = slices.Sorted(maps.Keys(events.paths))
				}
				b.add(events, changed)
			case <-time.After(wait):
				sizes = append(sizes, len(b.take()))
				lag = time.Duration(time.Now().UnixNano() - last.Load())
			}
		}
	})
	return sizes, lag
}

func each(n int, pause time.Duration) []time.Duration {
	out := make([]time.Duration, n)
	for i := range out {
		out[i] = pause
	}
	return out
}

func TestABurstIsHandedOnAsOneWhenItRests(t *testing.T) {
	stalled := each(20_000, 50*time.Microsecond) // now and then the writer waits for its disk
	for i := 2000; i < len(stalled); i += 1500 {
		stalled[i] = 80 * time.Millisecond
	}
	tests := []struct {
		name   string
		pauses []time.Duration
		most   time.Duration // from the last event
	}{
		{"one save", each(1, 0), 5 * time.Millisecond},
		{"an editor's save in three steps", each(3, time.Millisecond), 6 * time.Millisecond},
		{"a hundred files", each(100, time.Millisecond), 20 * time.Millisecond},
		{"a thousand files", each(1000, 100*time.Microsecond), 80 * time.Millisecond},
		{"a branch switch", each(20_000, 100*time.Microsecond), 110 * time.Millisecond},
		{"a branch switch that stalls", stalled, 110 * time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sizes, lag := bursts(t, tt.pauses, true)
			if len(sizes) != 1 || sizes[0] != len(tt.pauses) {
				t.Errorf("%d events came as %v", len(tt.pauses), sizes)
			}
			if lag > tt.most {
				t.Errorf("the burst came %v after its last event, later than %v", lag, tt.most)
			}
		})
	}
}

func TestFilesThatNeverRestAreHandedOnAllTheSame(t *testing.T) {
	sizes, _ := bursts(t, each(10_000, 3*time.Millisecond), true)
	if len(sizes) < 3 {
		t.Errorf("30 s of events came as %v", sizes)
	}
	for _, n := range sizes {
		if n > 4000 {
			t.Errorf("a burst of %d paths took longer than its limit: %v", n, sizes)
		}
	}
}

func TestTwoSavesAreTwoBursts(t *testing.T) {
	sizes, lag := bursts(t, []time.Duration{0, 20 * time.Millisecond}, true)
	if len(sizes) != 2 || lag > 5*time.Millisecond {
		t.Errorf("they came as %v, the last after %v", sizes, lag)
	}
}

func TestWhatIsOnlyTouchedIsNoBurst(t *testing.T) {
	if sizes, _ := bursts(t, each(5000, time.Millisecond), false); len(sizes) > 0 {
		t.Errorf("touches were handed on as %v", sizes)
	}
	var b burst // nor does it hurry or hold up the save after it
	start := time.Unix(100, 0)
	for i := range 1000 {
		now := start.Add(time.Duration(i) * time.Millisecond)
		b.add(batch{paths: map[string]bool{"/touched": true}, first: now, last: now}, nil)
	}
	now := start.Add(time.Second)
	b.add(batch{paths: map[string]bool{"/saved": true}, first: now, last: now}, []string{"/saved"})
	if got := b.due().Sub(now); got < leastQuiet || got > 2*leastQuiet {
		t.Errorf("the save is due after %v", got)
	}
}

func TestALostEventIsABatch(t *testing.T) {
	var lost batch
	lost.add("", false, time.Unix(100, 0))
	lost.overflow = true
	if lost.isEmpty() {
		t.Error("a lost event is no batch")
	}
}
