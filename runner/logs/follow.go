package logs

import (
	"context"
	"errors"
	"sync"
)

// ErrOver is why followers end whose logs are complete: what is there by then is
// read to its end.
var ErrOver = errors.New("nothing more is to come")

// Followers follow logs, one each, and end together.
type Followers struct {
	ctx     context.Context // of all of them
	cancel  context.CancelCauseFunc
	which   Selection
	emit    func(Line) error
	drained func() error
	running sync.WaitGroup
}

// NewFollowers are none yet. The context that they give ends with the first that
// can't go on, and its cause. drained, which may be nil, is told by each that it has given
// all that was there. They must be closed.
func NewFollowers(ctx context.Context, which Selection, emit func(Line) error, drained func() error) (*Followers, context.Context) {
	f := &Followers{which: which, emit: emit, drained: drained}
	f.ctx, f.cancel = context.WithCancelCause(ctx)
	return f, f.ctx
}

// Follow gives what comes to a log.
func (f *Followers) Follow(log *Log, at Position) {
	f.running.Go(func() {
		if err := log.Follow(f.ctx, f.which, at, f.emit, f.drained); err != nil {
			f.cancel(err)
		}
	})
}

// Finish has them end with what is there by now.
func (f *Followers) Finish() { f.cancel(ErrOver) }

// Close returns once all of them have ended: with their logs, or their context.
func (f *Followers) Close() {
	f.running.Wait()
	f.cancel(nil)
}
