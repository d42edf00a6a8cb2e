package store

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzStoreFile holds that whatever the store's file has by now, an engine starts: with
// all that was kept, or with a word that it was set aside; and what is saved then is there.
func FuzzStoreFile(f *testing.F) {
	path := filepath.Join(f.TempDir(), "engine.db")
	s, _, err := Open(path, quiet())
	if err != nil {
		f.Fatal(err)
	}
	for _, bucket := range []string{"builds", "engine", "records"} {
		s.Save(bucket, "one", []byte(`{"id":1}`))
		s.Save(bucket, "two", make([]byte, 5000))
	}
	if err := s.Close(); err != nil {
		f.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(0), []byte{}, uint32(len(good)))
	f.Add(uint32(0), []byte("no database at all"), uint32(0))
	f.Add(uint32(16), []byte{0xff, 0xff, 0xff, 0xff}, uint32(len(good)))
	f.Add(uint32(4096*3+8), []byte{2, 0, 255, 255}, uint32(len(good)))
	f.Add(uint32(0), []byte{}, uint32(len(good)/2+100))
	f.Fuzz(func(t *testing.T, at uint32, patch []byte, size uint32) {
		file := append([]byte{}, good...)
		if int(at) < len(file) {
			copy(file[at:], patch)
		}
		file = file[:min(int(size), len(file))]
		path := filepath.Join(t.TempDir(), "engine.db")
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		s, warning, err := Open(path, quiet())
		if err != nil {
			t.Fatal(err)
		}
		// Of two pages that lead to all, a damaged one leaves what was there before.
		if doc := s.Get("engine", "one"); doc != nil && string(doc) != `{"id":1}` {
			t.Errorf("it has %q, warning %q", doc, warning)
		}
		s.Save("engine", "new", []byte("x"))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s, warning, err = Open(path, quiet())
		if err != nil || warning != "" || string(s.Get("engine", "new")) != "x" {
			t.Errorf("opened again: %v, %q", err, warning)
		}
		if err == nil {
			s.Close()
		}
	})
}
