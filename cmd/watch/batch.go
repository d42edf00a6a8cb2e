package watch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fsnotify/fsnotify"
)

// A batch ends after a quiet moment: a short one for the few files of a save,
// a longer one while a branch is switched. Files that never rest make a batch
// all the same.
const (
	fewPaths   = 50
	manyPaths  = 2000
	shortQuiet = 4 * time.Millisecond
	longQuiet  = 40 * time.Millisecond
	fewWait    = 50 * time.Millisecond
	someWait   = 2 * time.Second
	manyWait   = 10 * time.Second
)

// batch is what happened since the last one.
type batch struct {
	paths    map[string]bool
	overflow bool // events were lost: everything has to be looked at
	first    time.Time
	last     time.Time
}

func (b *batch) add(path string, now time.Time) {
	if b.isEmpty() {
		b.first = now
	}
	if b.paths == nil {
		b.paths = map[string]bool{}
	}
	if path != "" {
		b.paths[path] = true
	}
	b.last = now
}

func (b *batch) isEmpty() bool { return len(b.paths) == 0 && !b.overflow }

// due is when the batch is whole.
func (b *batch) due() time.Time {
	quiet, wait := shortQuiet, fewWait
	switch n := len(b.paths); {
	case n > manyPaths || b.overflow:
		quiet, wait = longQuiet, manyWait
	case n > fewPaths:
		quiet, wait = longQuiet, someWait
	}
	due := b.last.Add(quiet)
	if limit := b.first.Add(wait); limit.Before(due) {
		return limit
	}
	return due
}

// collector turns the kernel's events into batches. It always reads, however
// long the last batch takes, so that the kernel's queue stays short.
type collector struct {
	events  <-chan fsnotify.Event
	errors  <-chan error
	batches chan batch
	now     func() time.Time
}

// run passes batches on until the context or the events end.
func (c *collector) run(ctx context.Context, complain func(error)) {
	var b batch
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		var out chan batch
		if !b.isEmpty() {
			if wait := b.due().Sub(c.now()); wait > 0 {
				timer.Reset(wait)
			} else {
				out = c.batches
			}
		}
		select {
		case <-ctx.Done():
			return
		case ev, ok := <-c.events:
			if !ok {
				return
			}
			b.add(ev.Name, c.now())
		case err, ok := <-c.errors:
			if !ok {
				return
			}
			if errors.Is(err, fsnotify.ErrEventOverflow) {
				b.add("", c.now())
				b.overflow = true
				continue
			}
			complain(fmt.Errorf("watching files: %w", err))
		case <-timer.C:
		case out <- b:
			b = batch{}
		}
	}
}
