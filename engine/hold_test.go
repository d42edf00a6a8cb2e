package engine

import (
	"errors"
	"path/filepath"
	"testing"
	"time"
)

func holder(t *testing.T) *Engine {
	t.Helper()
	s, _ := open(t, filepath.Join(t.TempDir(), "state"))
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	e := &Engine{held: map[string]*holding{}, orphaned: map[string]*time.Timer{}, store: s, ctx: t.Context()}
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
	for _, end := range []func(string, *holding){e.lapse, e.giveUp, e.pause, e.letGo} {
		end("shop", first)
		if e.held["shop"] != second || e.orphaned["shop"] != nil || e.store.get(bucketHolds, "shop") == nil {
			t.Fatal("the end of the old stream ends the new hold")
		}
	}
	e.lapse("shop", second)
	if e.held["shop"] != nil || e.orphaned["shop"] == nil || !e.inUse("shop") {
		t.Error("a stream that breaks leaves no time to come back")
	}
	mustHold(t, e, "a")
	if e.orphaned["shop"] != nil {
		t.Error("a caller that came back is still given up")
	}
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
