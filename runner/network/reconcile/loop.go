// Package reconcile decides when something that others may change is looked at: a
// moment after it was changed, and again, a bounded number of times, after a look that
// has not put it right. It knows nothing of what is looked at.
package reconcile

import (
	"context"
	"time"
)

// Bounds of looks that follow one that failed: the pause doubles from the first to the
// longest.
const (
	Tries        = 8
	firstPause   = time.Second
	longestPause = time.Minute
)

// Loop looks when something has changed. Its fields are required.
type Loop struct {
	Settle time.Duration // how long changes may go on before a look: they come in bursts
	Look   func(ctx context.Context) error

	failed int         // looks in a row that were due to a failure, and failed as well
	due    *time.Timer // nil: the last look has put all right, or it was tried enough
}

// Run looks until listen, which tells of changes, ends; its error is that of listen. It may
// be called again, and goes on where it was.
func (l *Loop) Run(ctx context.Context, listen func(ctx context.Context, tell func()) error) error {
	changes := make(chan struct{}, 1)
	tell := func() {
		select {
		case changes <- struct{}{}:
		default:
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- listen(ctx, tell) }()
	for {
		again := false
		select {
		case err := <-ended:
			return err
		case <-l.timer():
			again, l.due = true, nil
		case <-changes:
			select {
			case err := <-ended:
				return err
			case <-time.After(l.Settle):
			}
		}
		select {
		case <-changes: // it is seen now
		default:
		}
		l.note(l.Look(ctx), again)
	}
}

// note takes in how a look went. One that a change has caused moves no later one: what
// can't be put right would be looked at without a pause where changes go on.
func (l *Loop) note(err error, again bool) {
	switch {
	case err == nil:
		l.failed = 0
		l.stop()
	case again:
		l.failed++
		l.wait()
	case l.due == nil && l.failed == 0:
		l.wait()
	}
}

func (l *Loop) wait() {
	if l.failed < Tries {
		l.due = time.NewTimer(min(firstPause<<l.failed, longestPause))
	}
}

func (l *Loop) stop() {
	if l.due != nil {
		l.due.Stop()
		l.due = nil
	}
}

func (l *Loop) timer() <-chan time.Time {
	if l.due == nil {
		return nil
	}
	return l.due.C
}
