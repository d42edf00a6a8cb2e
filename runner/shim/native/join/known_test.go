package join

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/runc/libcontainer"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil { // by another file, as libcontainer does it
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// A container that is kept serves one call at a time, and none once it is noted otherwise.
func TestAContainerIsKeptWhileItsNoteIsTheSame(t *testing.T) {
	root, k := t.TempDir(), &Known{}
	path := filepath.Join(root, "box", "state.json")
	write(t, path, "{}")
	kept := &libcontainer.Container{}
	k.Made(kept, root, "box")
	n, err := noteOf(root, "box")
	if err != nil {
		t.Fatal(err)
	}
	c, give, err := k.Take(root, "box")
	if err != nil || c.Container != kept {
		t.Fatalf("taken is another: %v", err)
	}
	if k.pop(n) != nil {
		t.Error("it serves two calls at once")
	}
	c.Left = "a word"
	give()
	if again := k.pop(n); again != c || again.Left != "a word" {
		t.Error("it is not taken back as it was left")
	}
	give()
	write(t, path, "{ }")
	if n, err = noteOf(root, "box"); err != nil || k.pop(n) != nil {
		t.Errorf("it is used though it is noted otherwise: %v", err)
	}
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := k.Take(root, "box"); !errors.Is(err, libcontainer.ErrNotExist) {
		t.Errorf("of one that is gone: %v", err)
	}
}

// However many calls there were, and containers that have gone since, little is kept.
func TestWhatIsKeptIsBounded(t *testing.T) {
	root, k := t.TempDir(), &Known{}
	for i := range 3 * sweepAt {
		id := fmt.Sprint("box", i)
		write(t, filepath.Join(root, id, "state.json"), "{}")
		for range 5 {
			k.Made(&libcontainer.Container{}, root, id)
		}
		if n := len(k.idle[filepath.Join(root, id, "state.json")]); n != mostAlike {
			t.Fatalf("%d of one are kept", n)
		}
		if err := os.RemoveAll(filepath.Join(root, id)); err != nil {
			t.Fatal(err)
		}
	}
	if len(k.idle) > sweepAt {
		t.Errorf("%d are kept that are gone", len(k.idle))
	}
}
