package ci

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
)

// hold keeps a project on the engine for as long as this command lives. When
// it ends without a release, by whatever means, the engine removes the project.
type hold struct {
	client  *api.Client
	request *api.HoldInput
	cancel  context.CancelFunc
	stream  api.Engine_HoldClient // of the reader alone until lost is closed
	orders  chan bool             // at most one: to release it, or to give it up
	lost    chan struct{}         // closed when no engine holds it any more
	err     error                 // after lost
}

// takeHold returns once the engine holds the project.
func takeHold(ctx context.Context, client *api.Client, project string) (*hold, error) {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	h := &hold{
		client: client, cancel: cancel, request: &api.HoldInput{Project: project, Caller: rand.Text()},
		orders: make(chan bool, 1), lost: make(chan struct{}),
	}
	defer context.AfterFunc(ctx, cancel)()
	if err := h.take(own); err != nil {
		cancel()
		return nil, cli.Cause(ctx, err)
	}
	go h.keep(own)
	return h, nil
}

func (h *hold) take(ctx context.Context) error {
	stream, err := h.client.Hold(ctx)
	if err == nil {
		if err = stream.Send(h.request); err == nil || errors.Is(err, io.EOF) {
			_, err = stream.Recv() // says also why nothing could be sent
		}
	}
	h.stream = stream
	return err
}

// takeAgain takes the project from the engine that follows, however often one
// goes away before it has answered.
func (h *hold) takeAgain(ctx context.Context) error {
	for {
		if err := api.Cause(h.take(ctx)); !errors.Is(err, api.ErrLost) {
			return err
		}
	}
}

// keep takes the project again from each engine that follows.
func (h *hold) keep(ctx context.Context) {
	defer close(h.lost)
	ordered, release := false, false
	for {
		ended := make(chan error, 1)
		go func(stream api.Engine_HoldClient) {
			_, err := stream.Recv()
			ended <- err
		}(h.stream)
		var err error
		if !ordered {
			select {
			case err = <-ended:
			case release = <-h.orders:
				ordered = true // of the next engine too, should this one go away
			}
		}
		if ordered {
			if err = h.letGo(release, ended); errors.Is(err, io.EOF) {
				h.err = nil
				return
			}
		}
		if h.err = api.Cause(err); !errors.Is(h.err, api.ErrLost) {
			return
		}
		if h.err = h.takeAgain(ctx); h.err != nil {
			return
		}
	}
}

// letGo tells the engine that the hold is over and gives the end of the stream:
// an EOF where the engine has let go.
func (h *hold) letGo(release bool, ended <-chan error) error {
	if !release || h.stream.Send(&api.HoldInput{Release: true}) == nil {
		_ = h.stream.CloseSend()
	}
	return <-ended // says also why nothing could be sent
}

// release ends the hold and leaves the project as it is.
func (h *hold) release(ctx context.Context) error {
	defer h.cancel()
	select {
	case h.orders <- true:
	case <-h.lost:
	case <-ctx.Done():
	}
	select {
	case <-h.lost:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if h.err != nil {
		return fmt.Errorf("the engine does not let go of %s: %w", h.request.Project, h.err)
	}
	return nil
}

// errNotHeld is the cause of what ends because no engine holds the project.
var errNotHeld = errors.New("no engine holds the project any more")

// whileHeld gives a context that ends when no engine holds the project.
func (h *hold) whileHeld(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-h.lost:
			cancel(fmt.Errorf("%w: %w", errNotHeld, h.err))
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// dropTimeout bounds how long giving a project up takes; the engine removes it
// without a word too, only later.
const dropTimeout = time.Second

// drop gives the project up: the engine removes it.
func (h *hold) drop() {
	defer h.cancel()
	select {
	case h.orders <- false:
	default: // it was released, in vain
		return
	}
	select {
	case <-h.lost:
	case <-time.After(dropTimeout):
	}
}
