package ci

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/orlop/orlop/api"
)

// holdEngine holds on one stream after the other.
type holdEngine struct {
	api.EngineClient
	streams chan *holdStream
}

func (e *holdEngine) Hold(context.Context, ...grpc.CallOption) (api.Engine_HoldClient, error) {
	return <-e.streams, nil
}

// holdStream answers at once, and ends when it is told how.
type holdStream struct {
	api.Engine_HoldClient
	answered bool
	told     chan struct{} // closed when its caller has said its last word
	end      chan error
}

func newHoldStream() *holdStream {
	return &holdStream{told: make(chan struct{}), end: make(chan error, 1)}
}

func (s *holdStream) Send(*api.HoldInput) error { return nil }
func (s *holdStream) CloseSend() error          { close(s.told); return nil }

func (s *holdStream) Recv() (*api.HoldReply, error) {
	if !s.answered {
		s.answered = true
		return &api.HoldReply{}, nil
	}
	return nil, <-s.end
}

func comes(t *testing.T, what string, on <-chan struct{}) {
	t.Helper()
	select {
	case <-on:
	case <-time.After(5 * time.Second):
		t.Fatalf("no end: %s", what)
	}
}

// TestAnOrderIsCarriedOverBesideAnother has an engine go away while it is told
// to let go, and another order come in the meantime.
func TestAnOrderIsCarriedOverBesideAnother(t *testing.T) {
	first, second := newHoldStream(), newHoldStream()
	e := &holdEngine{streams: make(chan *holdStream, 2)}
	e.streams <- first
	e.streams <- second
	h, err := takeHold(context.Background(), &api.Client{EngineClient: e}, "shop")
	if err != nil {
		t.Fatal(err)
	}
	h.orders <- true
	comes(t, "the first order", first.told)
	h.orders <- false
	first.end <- status.Error(codes.Unavailable, "the engine died")
	comes(t, "the order to the next engine", second.told)
	second.end <- io.EOF
	comes(t, "the hold", h.lost)
	if h.err != nil {
		t.Error(h.err)
	}
}

func TestWhatIsNotHeldIsReleasedTwice(t *testing.T) {
	h := &hold{request: &api.HoldInput{Project: "shop"}, cancel: func() {}, orders: make(chan bool, 1), lost: make(chan struct{}), err: errNotHeld}
	close(h.lost)
	both := make(chan struct{})
	go func() {
		defer close(both)
		for range 2 {
			if err := h.release(context.Background()); !errors.Is(err, errNotHeld) {
				t.Errorf("it is released with %v", err)
			}
		}
	}()
	comes(t, "the second release", both)
}
