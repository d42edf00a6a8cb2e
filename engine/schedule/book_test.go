package schedule

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// documents are a store in memory.
type documents struct {
	mu  sync.Mutex
	all map[string][]byte
}

func (d *documents) Save(_, key string, value []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all[key] = bytes.Clone(value)
}

func (d *documents) Delete(_, key string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.all, key)
}

func (d *documents) Load(string) (map[string][]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.all), nil
}

// bubble is the clock of a synctest bubble, which begins at midnight of 2000-01-01.
type bubble struct{}

func (bubble) Now() time.Time { return time.Now().UTC() }

func (bubble) Wait(ctx context.Context, until time.Time, wake <-chan struct{}) {
	wait := time.Until(until)
	if until.IsZero() {
		wait = 1000 * time.Hour
	}
	waitFor(ctx, wait, wake)
}

// runs makes runs that take some time, and notes them.
type runs struct {
	begun []time.Time // of the jobs that were run
	takes time.Duration
	err   error
	code  int
	mu    sync.Mutex
	made  map[string]int // fire -> how often its run was begun
	going int
	most  int
}

func (r *runs) IsBusy(string, string) bool { return false }

func (r *runs) Run(ctx context.Context, j Job, fire time.Time) (planner.Run, error) {
	r.mu.Lock()
	r.made[j.Name+" "+fire.Format("15:04")]++
	r.begun = append(r.begun, j.Begun)
	r.going++
	r.most = max(r.most, r.going)
	r.mu.Unlock()
	waitFor(ctx, r.takes, nil)
	r.mu.Lock()
	r.going--
	r.mu.Unlock()
	return planner.Run{Container: "c", ExitCode: r.code}, r.err
}

func openBook(t *testing.T, docs Documents, r Runner) *Book {
	t.Helper()
	b, err := Open(docs, bubble{}, r, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// during has a book run for a while.
func during(t *testing.T, b *Book, d time.Duration, do func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { b.Run(ctx) })
	if do != nil {
		do()
	}
	time.Sleep(d)
	synctest.Wait()
	cancel()
	wg.Wait()
}

func put(b *Book, name string, s spec.Schedule) {
	j := jobOf(s)
	j.Name = name
	b.Put(*j)
}

func TestJobsAreRunWhenItIsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		docs, r := &documents{all: map[string][]byte{}}, &runs{takes: 5 * time.Minute, made: map[string]int{}}
		b := openBook(t, docs, r)
		var seen []string
		ctx, cancel := context.WithCancel(t.Context())
		watched := make(chan struct{})
		go func() {
			defer close(watched)
			b.Watch(ctx, "shop", func(e Event) { seen = append(seen, e.Action) })
		}()
		during(t, b, 61*time.Minute, func() { put(b, "tick", spec.Schedule{Cron: "*/20 * * * *"}) })
		cancel()
		<-watched
		if got := strings.Join(seen, " "); got != "fire end fire end fire" {
			t.Errorf("what happened is %s", got)
		}
		// The third goes on: the next engine goes on with it, and makes no other.
		b = openBook(t, docs, r)
		during(t, b, 6*time.Minute, nil)
		if r.made["tick 01:00"] != 2 || r.made["tick 00:20"] != 1 || len(r.made) != 3 { // the engine asks for it again
			t.Errorf("made are %v", r.made)
		}
		of, _ := b.Of("shop")
		if s := of["tick"]; s.Last == nil || s.Last.Failure() != "" || s.Running || s.Next.Format("15:04") != "01:20" {
			t.Errorf("it is %+v", s)
		}
	})
}

func TestAQueuedFireWaitsForTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &runs{takes: 150 * time.Second, made: map[string]int{}}
		b := openBook(t, &documents{all: map[string][]byte{}}, r)
		during(t, b, 7*time.Minute, func() { put(b, "tick", spec.Schedule{Cron: "* * * * *", Concurrency: spec.ConcurrencyQueue}) })
		if r.most != 1 || r.made["tick 00:01"] != 1 || r.made["tick 00:02"] != 1 || r.made["tick 00:03"] != 0 || r.made["tick 00:04"] != 1 {
			t.Errorf("at most %d at once of %v", r.most, r.made)
		}
	})
}

func TestJobsThatArePausedOrGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		docs, r := &documents{all: map[string][]byte{}}, &runs{made: map[string]int{}, code: 3}
		b := openBook(t, docs, r)
		put(b, "tick", spec.Schedule{Cron: "* * * * *"})
		put(b, "tock", spec.Schedule{Cron: "* * * * *"})
		b.Pause("shop", "tick", true)
		b.Pause("shop", "tock", true)
		during(t, b, 3*time.Minute, nil)
		b = openBook(t, docs, r)
		during(t, b, 2*time.Minute, nil)
		if len(r.made) != 0 {
			t.Errorf("while they are paused there are %v", r.made)
		}
		b.Remove("shop", "tock")
		b.Pause("shop", "tick", false)
		during(t, b, 61*time.Second, nil)
		of, _ := b.Of("shop")
		if len(r.made) != 1 || len(of) != 1 || of["tick"].Last.Failure() != "exit code 3" {
			t.Errorf("then there are %v, %v", r.made, of)
		}
		r.err = errors.New("no such image")
		during(t, b, time.Minute, nil)
		if of, _ = b.Of("shop"); of["tick"].Last.Failure() != "no such image" {
			t.Errorf("a run that can't be made: %+v", of["tick"].Last)
		}
		b.Remove("shop", "tick")
		if len(docs.all) != 0 || count(b) != 0 {
			t.Errorf("what is left is %v", docs.all)
		}
	})
}

func TestARecordThatCantBeRead(t *testing.T) {
	docs := &documents{all: map[string][]byte{"shop/tick": []byte("{"), "shop/tock": []byte("{}")}}
	if b := openBook(t, docs, &runs{}); count(b) != 0 {
		t.Errorf("there are %d", count(b))
	}
}

// The kernel's timer ends a wait at its time, and a wake before it.
func TestTheWallClock(t *testing.T) {
	w, wake := Wall{}, make(chan struct{}, 1)
	until := w.Now().Add(30 * time.Millisecond)
	w.Wait(t.Context(), until, wake)
	if now := w.Now(); now.Before(until) {
		t.Errorf("it ended at %s, before %s", now, until)
	}
	w.Wait(t.Context(), w.Now().Add(-time.Hour), wake)
	wake <- struct{}{}
	w.Wait(t.Context(), w.Now().Add(time.Hour), wake)
	wake <- struct{}{}
	w.Wait(t.Context(), time.Time{}, wake)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w.Wait(ctx, w.Now().Add(time.Hour), wake)
}

func count(b *Book) int {
	all, _ := b.Jobs()
	return len(all)
}

// TestAJobIsGivenAnotherRequest: what it is else stays, and the next engine has it.
func TestAJobIsGivenAnotherRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		docs := &documents{all: map[string][]byte{}}
		b := openBook(t, docs, &runs{})
		put(b, "tick", spec.Schedule{Cron: "0 * * * *"})
		before, _ := b.Jobs()
		time.Sleep(time.Minute)
		b.Renew("shop", "tick", []byte("another"))
		b.Renew("shop", "tock", []byte("another"))
		jobs, _ := openBook(t, docs, &runs{}).Jobs()
		if len(jobs) != 1 || string(jobs[0].Request) != "another" || !jobs[0].Since.Equal(before[0].Since) {
			t.Errorf("there are %+v", jobs)
		}
	})
}

// TestAChangedScheduleIsNotOfThePast: what it says of today's morning does not come at noon,
// and what the one before it has said is not lost.
func TestAChangedScheduleIsNotOfThePast(t *testing.T) {
	daily := func(crons ...string) (all []spec.Schedule) {
		for _, c := range crons {
			all = append(all, spec.Schedule{Cron: c})
		}
		return all
	}
	york := daily("0 3 * * *")
	york[0].Timezone = "America/New_York"
	for name, c := range map[string]struct {
		then []spec.Schedule
		want string // what is made by 13:30
	}{
		"another hour":      {daily("0 10 * * *"), "tick 03:00"},
		"another time zone": {york, "tick 03:00"},
		"one more":          {daily("0 3 * * *", "0 12 * * *"), "tick 03:00"},
		"as it was":         {daily("0 3 * * *"), "tick 03:00"},
		"soon":              {daily("15 13 * * *"), "tick 03:00 tick 13:15"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &runs{made: map[string]int{}}
				b := openBook(t, &documents{all: map[string][]byte{}}, r)
				during(t, b, 13*time.Hour, func() { put(b, "tick", daily("0 3 * * *")[0]) })
				j := jobOf(c.then...)
				b.Put(*j)
				during(t, b, 30*time.Minute, nil)
				if got := strings.Join(slices.Sorted(maps.Keys(r.made)), " "); got != c.want || r.made["tick 03:00"] != 1 {
					t.Errorf("made are %v, want %s", r.made, c.want)
				}
			})
		})
	}
	t.Run("what fired just before", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := &runs{made: map[string]int{}}
			b := openBook(t, &documents{all: map[string][]byte{}}, r)
			put(b, "tick", daily("0 3 * * *")[0])
			time.Sleep(3*time.Hour + time.Second) // nobody has looked
			put(b, "tick", daily("0 10 * * *")[0])
			during(t, b, time.Minute, nil)
			if r.made["tick 03:00"] != 1 || len(r.made) != 1 {
				t.Errorf("made are %v", r.made)
			}
		})
	})
}

// TestOnlyAFireOfTheStoreIsBegun: of one that this engine decides itself, nothing is there yet.
func TestOnlyAFireOfTheStoreIsBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		docs, r := &documents{all: map[string][]byte{}}, &runs{takes: 90 * time.Second, made: map[string]int{}}
		b := openBook(t, docs, r)
		during(t, b, 61*time.Second, func() { put(b, "tick", spec.Schedule{Cron: "* * * * *"}) })
		b = openBook(t, docs, r)
		put(b, "tick", spec.Schedule{Cron: "*/2 * * * *"})
		during(t, b, 3*time.Minute, nil)
		if len(r.begun) < 3 || !r.begun[0].IsZero() || r.begun[1].Format("15:04") != "00:01" || r.begun[2].Format("15:04") == "00:04" {
			t.Errorf("begun are %v of %v", r.begun, r.made)
		}
	})
}
