package builder

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tonistiigi/fsutil"
)

// TestLedgerKnowsWhenMetadataDoesNotTell: a session has another key where a
// file that was sent may have other content under the same size and time.
func TestLedgerKnowsWhenMetadataDoesNotTell(t *testing.T) {
	old := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	put := func(t *testing.T, path, text string, at time.Time) {
		t.Helper()
		must(t, os.WriteFile(path, []byte(text), 0o600))
		must(t, os.Chtimes(path, at, at))
	}
	for _, test := range []struct {
		name    string
		change  func(t *testing.T, dir string)
		another bool
	}{
		{"nothing", func(*testing.T, string) {}, false},
		{"same size and time", func(t *testing.T, dir string) { put(t, dir+"/sub/v", "B", old) }, true},
		{"another file in its place", func(t *testing.T, dir string) {
			put(t, dir+"/new", "B", old)
			must(t, os.Rename(dir+"/new", dir+"/sub/v"))
		}, true},
		{"another time", func(t *testing.T, dir string) { put(t, dir+"/sub/v", "B", old.Add(time.Second)) }, false},
		{"another size", func(t *testing.T, dir string) { put(t, dir+"/sub/v", "BB", old) }, false},
		{"removed", func(t *testing.T, dir string) { must(t, os.Remove(dir+"/sub/v")) }, false},
		{"a new file", func(t *testing.T, dir string) { put(t, dir+"/w", "B", old) }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("XDG_CACHE_HOME", t.TempDir())
			dir := t.TempDir()
			must(t, os.Mkdir(dir+"/sub", 0o700))
			put(t, dir+"/sub/v", "A", old)
			first := openLedger("engine", dir, "web")
			walk(t, first, dir)
			first.age()
			first.save()
			test.change(t, dir)
			second := openLedger("engine", dir, "web")
			if got := second.key != first.key; got != test.another {
				t.Errorf("another key: %t, want %t", got, test.another)
			}
		})
	}
}

// age makes the notes those of files that have rested for a while.
func (l *ledger) age() {
	for dir, files := range l.has {
		for path := range files {
			files[path], _ = stampOf(filepath.Join(dir, path))
		}
	}
}

func walk(t *testing.T, l *ledger, dir string) {
	t.Helper()
	inner, err := fsutil.NewFS(dir)
	must(t, err)
	must(t, lent{inner, l, dir}.Walk(context.Background(), "/", func(string, fs.DirEntry, error) error { return nil }))
}

// TestLedgerIsOneSessions: what a session has not given back is nobody's, a file
// that changed just now is not trusted, and what is gone is forgotten.
func TestLedgerIsOneSessions(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dir := t.TempDir()
	write(t, dir, map[string]string{"a": "1", "b": "2"})
	first := openLedger("engine", dir, "web")
	walk(t, first, dir)
	if first.has[dir]["a"].Ctime != 0 {
		t.Error("a file that changed within the clock's grain is trusted")
	}
	first.age()
	first.save()
	if other := openLedger("other engine", dir, "web"); other.key == first.key {
		t.Error("another engine holds the same")
	}
	second, beside := openLedger("engine", dir, "web"), openLedger("engine", dir, "web")
	if second.key != first.key || beside.key == first.key {
		t.Errorf("keys %s and %s after %s", second.key, beside.key, first.key)
	}
	must(t, os.Remove(filepath.Join(dir, "b")))
	walk(t, second, dir)
	second.save()
	if _, ok := second.has[dir]["b"]; ok || len(second.has[dir]) != 1 {
		t.Errorf("%v is remembered", second.has[dir])
	}
}

// TestLedgerSeesAChangeAfterItWasOpened: builds wait for others before they list
// their files.
func TestLedgerSeesAChangeAfterItWasOpened(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dir, old := t.TempDir(), time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	put := func(text string) {
		must(t, os.WriteFile(filepath.Join(dir, "v"), []byte(text), 0o600))
		must(t, os.Chtimes(filepath.Join(dir, "v"), old, old))
	}
	put("A")
	first := openLedger("engine", dir, "web")
	walk(t, first, dir)
	first.age()
	first.save()
	second := openLedger("engine", dir, "web")
	put("B")
	walk(t, second, dir) // of the same key: B is not sent
	second.save()
	if third := openLedger("engine", dir, "web"); third.key == second.key {
		t.Error("what was not sent counts as sent")
	}
}
