package loop

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Events are looked at soon after the first of them came, so that new
// directories are watched early and files are read while others are still
// written. What has changed is handed on as one burst when it rests: after a
// moment for the few files of a save, after an ever longer one the more have
// changed. Files that never rest make a burst all the same.
const (
	gatherTime = 2 * time.Millisecond
	leastQuiet = 4 * time.Millisecond
	mostQuiet  = 100 * time.Millisecond
	quietPath  = 60 * time.Microsecond // for each path
	leastWait  = 50 * time.Millisecond
	mostWait   = 10 * time.Second
	waitPath   = 2 * time.Millisecond
)

// batch are the events since the last one was taken.
type batch struct {
	paths    map[string]bool // whether more than its mode or times were set
	overflow bool            // events were lost: everything has to be looked at
	first    time.Time
	last     time.Time
}

func (b *batch) add(path string, written bool, now time.Time) {
	if b.isEmpty() {
		b.first = now
	}
	if b.paths == nil {
		b.paths = map[string]bool{}
	}
	if path != "" {
		b.paths[path] = b.paths[path] || written
	}
	b.last = now
}

func (b *batch) isEmpty() bool { return len(b.paths) == 0 && !b.overflow }

// due is when the batch is to be looked at.
func (b *batch) due() time.Time { return b.first.Add(gatherTime) }

// burst is what has changed since the last one was handed on.
type burst struct {
	changed []string
	paths   int // that something happened to
	first   time.Time
	last    time.Time
}

// add takes in a batch and what has changed by it.
func (b *burst) add(events batch, changed []string) {
	if len(b.changed) == 0 { // what was only touched counts for nothing
		*b = burst{first: events.first}
	}
	b.paths += max(len(events.paths), len(changed))
	b.changed = append(b.changed, changed...)
	b.last = events.last
}

// due is when the burst is whole, or zero where nothing has changed.
func (b *burst) due() time.Time {
	if len(b.changed) == 0 {
		return time.Time{}
	}
	n := time.Duration(b.paths)
	due := b.last.Add(min(leastQuiet+n*quietPath, mostQuiet))
	if limit := b.first.Add(min(leastWait+n*waitPath, mostWait)); limit.Before(due) {
		return limit
	}
	return due
}

// take gives the changes and begins anew.
func (b *burst) take() []string {
	slices.Sort(b.changed)
	changed := slices.Compact(b.changed)
	*b = burst{}
	return changed
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
			b.add(ev.Name, ev.Op != fsnotify.Chmod, c.now())
		case err, ok := <-c.errors:
			if !ok {
				return
			}
			if errors.Is(err, fsnotify.ErrEventOverflow) {
				b.add("", false, c.now())
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
