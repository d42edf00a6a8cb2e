package repair

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"
)

const canary = "c4n4ry-of-an-environment"

// database has values in nested buckets, half of them removed again.
func database(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "meta.db")
	db, err := bolt.Open(path, 0o640, nil)
	if err != nil {
		t.Fatal(err)
	}
	update := func(f func(b *bolt.Bucket, key []byte) error) {
		t.Helper()
		for i := range 200 {
			err := db.Update(func(tx *bolt.Tx) error {
				outer, err := tx.CreateBucketIfNotExists([]byte("v1"))
				if err != nil {
					return err
				}
				inner, err := outer.CreateBucketIfNotExists([]byte("containers"))
				if err != nil {
					return err
				}
				return f(inner, fmt.Appendf(nil, "%03d", i))
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	update(func(b *bolt.Bucket, key []byte) error {
		text := "kept"
		if key[2]%2 == 0 {
			text = canary
		}
		return b.Put(key, bytes.Repeat([]byte(text), 50))
	})
	update(func(b *bolt.Bucket, key []byte) error {
		if key[2]%2 == 0 {
			return b.Delete(key)
		}
		return nil
	})
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestWhatWasRemovedIsGone: the canary is in the file until its free pages are overwritten.
//
// Risk environment: the environment of a container that was removed stays in free pages of a database
// Held: the free pages are overwritten when the engine starts
func TestWhatWasRemovedIsGone(t *testing.T) {
	path := database(t)
	if text, err := os.ReadFile(path); err != nil || !bytes.Contains(text, []byte(canary)) {
		t.Fatalf("bolt wipes by itself what is removed: %v", err)
	}
	for range 2 { // a second time there is nothing to do
		if err := Wipe(path); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil || bytes.Contains(text, []byte(canary)) {
		t.Errorf("what was removed is there still: %v", err)
	}
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	n := 0
	err = db.View(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("v1")).Bucket([]byte("containers")).ForEach(func(_, v []byte) error {
			n++
			if !bytes.Equal(v, bytes.Repeat([]byte("kept"), 50)) {
				t.Errorf("a value is %q", v)
			}
			return nil
		})
	})
	if err != nil || n != 100 {
		t.Errorf("%d values are left, %v", n, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
}

func TestADamagedDatabaseStaysAsItWas(t *testing.T) {
	path := database(t)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(text); i += 4096 {
		text[i+9] ^= 0xff
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Wipe(path); err == nil {
		t.Error("no error")
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, text) {
		t.Errorf("it was changed: %v", err)
	}
	if err := Wipe(filepath.Join(t.TempDir(), "none.db")); err != nil {
		t.Errorf("one that isn't there: %v", err)
	}
}
