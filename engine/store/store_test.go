package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func open(t testing.TB, path string) (*Store, string) {
	t.Helper()
	s, warning, err := Open(path, quiet())
	if err != nil {
		t.Fatal(err)
	}
	return s, warning
}

func TestStoreKeepsWhatWasFlushed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "engine.db")
	s, warning := open(t, path)
	if warning != "" {
		t.Errorf("a new store warns: %s", warning)
	}
	s.Save("a", "one", []byte("1"))
	s.Save("a", "two", []byte("2"))
	s.Save("b", "one", []byte("x"))
	s.Save("a", "two", []byte("22"))
	s.Delete("b", "one")
	s.Delete("c", "never there")
	if got := s.Get("a", "two"); string(got) != "22" {
		t.Errorf("before the flush: %q", got)
	}
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	s.Save("a", "three", []byte("3")) // reaches the disk with close
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, warning = open(t, path)
	defer s.Close()
	docs, err := s.Load("a")
	if err != nil || warning != "" {
		t.Fatal(err, warning)
	}
	want := map[string][]byte{"one": []byte("1"), "two": []byte("22"), "three": []byte("3")}
	if !maps.EqualFunc(docs, want, bytes.Equal) {
		t.Errorf("got %s", docs)
	}
	if docs, _ := s.Load("b"); len(docs) != 0 {
		t.Errorf("what was deleted is back: %s", docs)
	}
	docs["one"] = nil
	if s.Get("a", "one") == nil {
		t.Error("a caller changed the store's own map")
	}
}

func TestStoreAfterCloseTakesNothing(t *testing.T) {
	s, _ := open(t, filepath.Join(t.TempDir(), "engine.db"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s.Save("a", "late", []byte("1"))
	s.Delete("a", "late")
	if err := s.Flush(); !errors.Is(err, ErrClosed) {
		t.Errorf("a flush after the end says %v", err)
	}
}

func TestStoreIsSafeForManyUsers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "engine.db")
	s, _ := open(t, path)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 50 {
				key := fmt.Sprintf("%d-%d", i, n)
				s.Save("docs", key, []byte(key))
				if n%2 == 0 {
					s.Delete("docs", key)
				}
				if n%10 == 0 {
					if err := s.Flush(); err != nil {
						t.Error(err)
					}
				}
				if _, err := s.Load("docs"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, _ = open(t, path)
	defer s.Close()
	docs, _ := s.Load("docs")
	if len(docs) != 8*25 {
		t.Errorf("%d documents, want %d", len(docs), 8*25)
	}
	for key, value := range docs {
		if key != string(value) {
			t.Errorf("%s holds %s", key, value)
		}
	}
}

// filled makes a store file with enough in it for several levels of pages.
func filled(t *testing.T, path string) map[string]string {
	t.Helper()
	s, _ := open(t, path)
	want := map[string]string{}
	for i := range 300 {
		key := fmt.Sprintf("key-%03d", i)
		want[key] = strings.Repeat(key, 1+i%50)
		s.Save("docs", key, []byte(want[key]))
		if i%60 == 0 {
			if err := s.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return want
}

// TestDamagedStoreIsSetAside truncates and scribbles over the file. The store
// opens each time; what it gives is what was saved, or it says that the file
// was damaged, keeps it, and begins anew.
func TestDamagedStoreIsSetAside(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "whole.db")
	want := filled(t, path)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	damaged := 0
	try := func(name string, text []byte) {
		t.Helper()
		at := filepath.Join(dir, name, "engine.db")
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, text, 0o600); err != nil {
			t.Fatal(err)
		}
		s, warning, err := Open(at, quiet())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		docs, _ := s.Load("docs")
		if warning != "" {
			damaged++
			if len(docs) > 0 {
				t.Errorf("%s: set aside, and yet there are documents", name)
			}
			if kept, err := filepath.Glob(at + ".damaged-*"); err != nil || len(kept) != 1 || !strings.Contains(warning, kept[0]) {
				t.Errorf("%s: the damaged file is not where the warning says: %v, %s", name, kept, warning)
			}
		}
		for key, value := range docs {
			if want[key] != string(value) {
				t.Errorf("%s: %s holds what nobody saved", name, key)
			}
		}
		if warning == "" && len(text) > 0 && len(docs) < len(want)/2 {
			t.Errorf("%s: only %d documents and no word of it", name, len(docs))
		}
		s.Save("docs", "new", []byte("new"))
		if err := s.Close(); err != nil {
			t.Errorf("%s: after the repair: %v", name, err)
		}
		os.RemoveAll(filepath.Dir(at))
	}
	for cut := 0; cut < len(whole); cut += max(512, len(whole)/80) {
		try(fmt.Sprintf("cut-%d", cut), whole[:cut])
	}
	for i := range 120 {
		text := bytes.Clone(whole)
		for range 1 + rnd.IntN(8) {
			text[rnd.IntN(len(text))] ^= byte(1 + rnd.IntN(255))
		}
		try(fmt.Sprintf("flip-%d", i), text)
	}
	for page := 0; page < len(whole); page += 4096 {
		text := bytes.Clone(whole)
		clear(text[page : page+4096])
		try(fmt.Sprintf("zero-%d", page), text)
	}
	try("text", []byte(strings.Repeat("no database at all\n", 5000)))
	if damaged < 20 {
		t.Errorf("only %d damages were seen: the test can't fail", damaged)
	}
}

func TestStoreInUseIsNotSetAside(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for bbolt's lock to time out")
	}
	path := filepath.Join(t.TempDir(), "engine.db")
	s, _ := open(t, path)
	defer s.Close()
	if _, _, err := Open(path, quiet()); err == nil {
		t.Error("two engines opened one store")
	}
	if aside, _ := filepath.Glob(path + ".damaged-*"); len(aside) > 0 {
		t.Error("the store of a running engine was set aside")
	}
}

// badKey is one that bbolt does not take: what is saved under it can't be written.
var badKey = strings.Repeat("k", bolt.MaxKeySize+1)

// TestWhatCouldNotBeWrittenIsToldAndTriedAgain: nothing that was saved beside it
// is lost.
func TestWhatCouldNotBeWrittenIsToldAndTriedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "engine.db")
	s, _ := open(t, path)
	s.Save("a", badKey, []byte("x"))
	s.Save("a", "one", []byte("1"))
	for range 2 {
		if err := s.Flush(); !errors.Is(err, bolterrors.ErrKeyTooLarge) {
			t.Errorf("a flush that fails says %v", err)
		}
	}
	s.Delete("a", badKey)
	if err := s.Flush(); err != nil {
		t.Errorf("after the cause is gone: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, _ = open(t, path)
	defer s.Close()
	if got := s.Get("a", "one"); string(got) != "1" {
		t.Errorf("what was saved beside it is %q", got)
	}
}

// TestAFlushIsNotToldOfAnEarlierFailure: one that comes while that is tried
// again waits for the outcome.
func TestAFlushIsNotToldOfAnEarlierFailure(t *testing.T) {
	s, _ := open(t, filepath.Join(t.TempDir(), "engine.db"))
	defer s.Close()
	s.Save("a", badKey, []byte("x"))
	if err := s.Flush(); err == nil {
		t.Fatal("it was written")
	}
	tx, err := s.db.Begin(true) // the next write stands until this ends
	if err != nil {
		t.Fatal(err)
	}
	s.Delete("a", badKey)
	s.Save("a", "one", []byte("1"))
	for writing := false; !writing; { // it is woken, and takes what there is
		runtime.Gosched()
		s.mu.Lock()
		writing = s.writing
		s.mu.Unlock()
	}
	flushed := make(chan error, 1)
	began := make(chan struct{})
	go func() { close(began); flushed <- s.Flush() }()
	<-began
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-flushed; err != nil {
		t.Errorf("the write that is waited for succeeds, and the flush says: %.60v", err)
	}
}

// TestAStoreThatCantBeReachedIsNotSetAside: a disk that is not there yet says
// nothing of what is on it.
func TestAStoreThatCantBeReachedIsNotSetAside(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "engine.db")
	if err := os.Symlink(filepath.Join(dir, "not mounted", "engine.db"), path); err != nil {
		t.Fatal(err)
	}
	if s, warning, err := Open(path, quiet()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is begun anew: %v, %s", err, warning)
		if err == nil {
			s.Close()
		}
	}
	if aside, _ := filepath.Glob(path + ".damaged-*"); len(aside) > 0 {
		t.Errorf("it was set aside: %v", aside)
	}
}
