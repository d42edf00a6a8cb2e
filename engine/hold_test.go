package engine

import (
	"errors"
	"path/filepath"
	"testing"
)

func holder(t *testing.T) *Engine {
	t.Helper()
	s, _ := open(t, filepath.Join(t.TempDir(), "state"))
	t.Cleanup(func() {
		if err := s.close(); err != nil {
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
		if e.held["shop"] != second || second.away != nil || e.store.get(bucketHolds, "shop") == nil {
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
