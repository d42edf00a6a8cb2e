package freezer

import (
	"context"
	"errors"
	"os"
	"testing"
)

// paused are containers that somebody has paused.
type paused struct {
	by  map[string]bool // by us
	all map[string]bool
	err error
}

func (p *paused) Freeze(_ context.Context, id string) (func(context.Context) error, error) {
	if p.err != nil || p.all[id] {
		return nil, p.err
	}
	p.all[id], p.by[id] = true, true
	return func(context.Context) error {
		delete(p.all, id)
		return nil
	}, nil
}

// TestWhoIsHeldIsOnNote, as long as that is ours to end: a second who wants it leaves that
// to the first, and who is paused by a user stays so.
func TestWhoIsHeldIsOnNote(t *testing.T) {
	p := &paused{by: map[string]bool{}, all: map[string]bool{"users": true}}
	f := &Freezer{Containers: p, Dir: t.TempDir() + "/frozen"}
	notes := func() (n int) {
		entries, _ := os.ReadDir(f.Dir)
		return len(entries)
	}
	thaw, err := f.Freeze(t.Context(), "a")
	if err != nil || !p.all["a"] || notes() != 1 {
		t.Fatalf("%v, %v, %d notes", err, p.all, notes())
	}
	second, err := f.Freeze(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if second(); !p.all["a"] || notes() != 1 {
		t.Errorf("who came second has ended it: %v, %d notes", p.all, notes())
	}
	if thaw(); p.all["a"] || notes() != 0 {
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
}
