package engine

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/runner/instance"
)

func holder(t testing.TB) *Engine {
	t.Helper()
	s, _ := open(t, filepath.Join(t.TempDir(), "state"))
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	e := &Engine{held: map[string]*holding{}, store: s, ctx: t.Context()}
	t.Cleanup(e.stopHolds)
	return e
}

func mustHold(t *testing.T, e *Engine, caller string) *holding {
	t.Helper()
	h, err := e.hold("shop", caller)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestAProjectIsHeldOnce(t *testing.T) {
	e := holder(t)
	h := mustHold(t, e, "a")
	for _, other := range []string{"b", ""} {
		if _, err := e.hold("shop", other); !errors.Is(err, errHeld) {
			t.Errorf("held by %q too: %v", other, err)
		}
	}
	e.letGo("shop", h)
	mustHold(t, e, "b")
}

func TestACallerThatComesBackHasItsHoldAgain(t *testing.T) {
	e := holder(t)
	first := mustHold(t, e, "a")
	second := mustHold(t, e, "a") // its old stream is not seen to be broken yet
	for _, end := range []func(string, *holding){e.lapse, e.giveUp, e.letGo} {
		end("shop", first)
		if e.held["shop"] != second || second.away != nil || e.store.Get(bucketHolds, "shop") == nil {
			t.Fatal("the end of the old stream ends the new hold")
		}
	}
	e.lapse("shop", second)
	if second.away == nil || !e.inUse("shop") {
		t.Error("a stream that breaks leaves no time to come back")
	}
	for _, other := range []string{"b", ""} {
		if _, err := e.hold("shop", other); !errors.Is(err, errHeld) {
			t.Errorf("%q has it while its caller may come back: %v", other, err)
		}
	}
	third := mustHold(t, e, "a")
	if third.away != nil || second.away.Stop() {
		t.Error("a caller that came back is still given up")
	}
}

func TestTheCallerOfAnEngineThatIsGoneHasItsHoldAgain(t *testing.T) {
	e := holder(t)
	mustHold(t, e, "a")
	e.held = map[string]*holding{} // the next engine
	if err := e.resumeHolds(); err != nil {
		t.Fatal(err)
	}
	if _, err := e.hold("shop", "b"); !errors.Is(err, errHeld) {
		t.Errorf("another has it: %v", err)
	}
	mustHold(t, e, "a")
}

func TestWhatIsBeingRemovedCantBeHeld(t *testing.T) {
	e := holder(t)
	e.held["shop"] = &holding{removing: true}
	for _, caller := range []string{"a", ""} {
		if _, err := e.hold("shop", caller); !errors.Is(err, errRemoved) {
			t.Errorf("%q holds it: %v", caller, err)
		}
	}
}

// holdStream is the stream of a caller that holds a project.
type holdStream struct {
	api.Engine_HoldServer
	ctx  context.Context
	says chan *api.HoldInput
	held chan struct{} // gets a value once it is told that it holds the project
	deaf error
}

func newHoldStream(ctx context.Context) *holdStream {
	return &holdStream{ctx: ctx, says: make(chan *api.HoldInput, 2), held: make(chan struct{}, 1)}
}

func (s *holdStream) Context() context.Context { return s.ctx }

func (s *holdStream) Send(*api.HoldReply) error {
	s.held <- struct{}{}
	return s.deaf
}

func (s *holdStream) Recv() (*api.HoldInput, error) {
	select {
	case m, ok := <-s.says:
		if !ok {
			return nil, io.EOF
		}
		return m, nil
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
}

// TestHowAHoldEnds: with a word the project stays, with the caller's end it is
// removed, with a broken stream or the engine's end there is time to come back.
func TestHowAHoldEnds(t *testing.T) {
	for name, c := range map[string]struct {
		end   func(d *desk, s *holdStream, hang func())
		holds bool // the hold goes on
		lease bool // for a while
		gone  bool // what was held is removed
	}{
		"a word":                {end: func(_ *desk, s *holdStream, _ func()) { s.says <- &api.HoldInput{Release: true} }},
		"the end of the caller": {end: func(_ *desk, s *holdStream, _ func()) { close(s.says) }, gone: true},
		"a broken stream":       {end: func(_ *desk, _ *holdStream, hang func()) { hang() }, holds: true, lease: true},
		"the end of the engine": {end: func(d *desk, _ *holdStream, hang func()) { d.cancel(errShutdown); hang() }, holds: true},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.instances.Note(instance.Instance{Project: "shop-ci", Name: "ci", Images: []string{"shop-ci/web"}})
			d.image(t, "shop-ci/web", "web")
			ctx, hang := context.WithCancel(d.ctx)
			defer hang()
			s := newHoldStream(ctx)
			s.says <- &api.HoldInput{Project: "shop-ci", Caller: "a"}
			ended := make(chan error, 1)
			go func() { ended <- d.Hold(s) }()
			<-s.held
			if !d.inUse("shop-ci") || d.store.Get(bucketHolds, "shop-ci") == nil {
				t.Error("it is not held, or that is not kept")
			}
			c.end(d, s, hang)
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if c.gone && !d.work.End(5*time.Second) {
				t.Fatal("the removal does not end")
			}
			d.mu.Lock()
			h, kept := d.held["shop-ci"], d.store.Get(bucketHolds, "shop-ci") != nil
			lease := h != nil && h.away != nil
			d.mu.Unlock()
			if (h != nil) != c.holds || kept != c.holds || lease != c.lease {
				t.Errorf("held %t, kept %t, for a while %t", h != nil, kept, lease)
			}
			if left, err := d.images.Digest(d.ctx, "shop-ci/web"); err != nil || (left == "") != c.gone {
				t.Errorf("its image is %q, %v", left, err)
			}
		})
	}
}

// TestAHoldThatIsNotHeardLeavesTimeToComeBack: the caller may not know that it
// has it.
func TestAHoldThatIsNotHeardLeavesTimeToComeBack(t *testing.T) {
	d := newDesk(t)
	s := newHoldStream(d.ctx)
	s.deaf = errors.New("gone")
	s.says <- &api.HoldInput{Project: "shop", Caller: "a"}
	if err := d.Hold(s); !errors.Is(err, s.deaf) {
		t.Error(err)
	}
	d.mu.Lock()
	h := d.held["shop"]
	lease := h != nil && h.away != nil
	d.mu.Unlock()
	if !lease {
		t.Error("it is given up at once, or held for ever")
	}
	mustHold(t, d.Engine, "a")
}

// TestAHoldThatCantBeKeptIsNone: the next engine would remove nothing.
func TestAHoldThatCantBeKeptIsNone(t *testing.T) {
	d := newDesk(t)
	d.store.Save("a", badKey, []byte("x"))
	s := newHoldStream(d.ctx)
	s.says <- &api.HoldInput{Project: "shop", Caller: "a"}
	if err := d.Hold(s); err == nil || d.inUse("shop") {
		t.Errorf("%v, in use: %t", err, d.inUse("shop"))
	}
	d.store.Delete("a", badKey)
}
