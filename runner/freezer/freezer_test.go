package freezer

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"testing"
)

// paused are containers that somebody has paused.
type paused struct {
	all    map[string]bool
	claims map[string]*Claim
	err    error
	stuck  error // why none goes on
}

func containers() *paused {
	return &paused{all: map[string]bool{"users": true}, claims: map[string]*Claim{}}
}

func (p *paused) Freeze(_ context.Context, id string, lost func()) (func(context.Context) error, error) {
	if p.claims[id] == nil {
		p.claims[id] = &Claim{}
	}
	claim := p.claims[id]
	if p.err != nil || p.all[id] && !claim.IsTaken() {
		return nil, p.err
	}
	p.all[id] = true
	isMine := claim.Take(lost)
	return func(context.Context) error {
		if !isMine() || p.stuck != nil {
			return p.stuck
		}
		claim.Drop()
		delete(p.all, id)
		return nil
	}, nil
}

func freezer(t *testing.T, p *paused) (f *Freezer, notes func() int) {
	f = &Freezer{Containers: p, Dir: t.TempDir() + "/frozen", Log: slog.New(slog.DiscardHandler)}
	return f, func() int {
		entries, _ := os.ReadDir(f.Dir)
		return len(entries)
	}
}

// TestWhoIsHeldIsOnNote, until the last who holds it has ended; who is paused by a user stays so.
func TestWhoIsHeldIsOnNote(t *testing.T) {
	p := containers()
	f, notes := freezer(t, p)
	thaw, err := f.Freeze(t.Context(), "a")
	if err != nil || !p.all["a"] || notes() != 1 {
		t.Fatalf("%v, %v, %d notes", err, p.all, notes())
	}
	second, err := f.Freeze(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if thaw(); !p.all["a"] || notes() != 1 {
		t.Errorf("who came first has ended it for the second: %v, %d notes", p.all, notes())
	}
	if second(); p.all["a"] || notes() != 0 {
		t.Errorf("it is still held: %v, %d notes", p.all, notes())
	}
	users, err := f.Freeze(t.Context(), "users")
	if err != nil || notes() != 0 {
		t.Errorf("%v, %d notes", err, notes())
	}
	if users(); !p.all["users"] {
		t.Error("what a user has paused goes on")
	}
	p.err = errors.New("refused")
	if _, err := f.Freeze(t.Context(), "b"); !errors.Is(err, p.err) || notes() != 0 {
		t.Errorf("%v, %d notes", err, notes())
	}
	if len(f.held) != 0 {
		t.Errorf("it remembers %v", f.held)
	}
}

// TestWhatAUserPausesMeanwhileStaysSo: nor has the next engine it go on.
func TestWhatAUserPausesMeanwhileStaysSo(t *testing.T) {
	p := containers()
	f, notes := freezer(t, p)
	thaw, err := f.Freeze(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if !p.claims["a"].Drop() || notes() != 0 { // as a pause does
		t.Errorf("%d notes", notes())
	}
	if thaw(); !p.all["a"] {
		t.Error("it goes on")
	}
	// One that went on by a user's will is held again for the next.
	delete(p.all, "a")
	first, err := f.Freeze(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	p.claims["a"].Drop()
	delete(p.all, "a")
	second, err := f.Freeze(t.Context(), "a")
	if err != nil || !p.all["a"] || notes() != 1 {
		t.Errorf("%v, %v, %d notes", err, p.all, notes())
	}
	first()
	if second(); p.all["a"] || notes() != 0 {
		t.Errorf("%v, %d notes", p.all, notes())
	}
}

// TestWhatCouldNotGoOnIsHeldForTheNext, and goes on with that one.
func TestWhatCouldNotGoOnIsHeldForTheNext(t *testing.T) {
	p := containers()
	f, notes := freezer(t, p)
	for _, p.stuck = range []error{errors.New("timed out"), nil} {
		thaw, err := f.Freeze(t.Context(), "a")
		if err != nil || !p.all["a"] || notes() != 1 {
			t.Errorf("%v, %v, %d notes", err, p.all, notes())
		}
		thaw()
	}
	if p.all["a"] || notes() != 0 {
		t.Errorf("%v, %d notes", p.all, notes())
	}
}
