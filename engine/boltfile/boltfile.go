// Package boltfile rewrites bolt databases without what was removed from them:
// bolt only marks the pages of a removed value as free, and what stood there (an
// environment with a password in it) stays in the file until something else is
// written over it. It knows nothing of what a database holds.
package boltfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// largest is the size, in bytes, up to which a database is rewritten: it is done
// in one transaction, and who starts an engine waits for it.
const largest = 64 << 20

// spare is how many bytes a rewrite leaves free, at least.
const spare = 32 << 20

// Compact rewrites the database at path where it has free pages. One that isn't
// there, or that is very large, stays as it is. It must not be open, and
// its pages must have been checked: bolt may end the process over a damaged one.
func Compact(path string) (err error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && (info.Size() > largest || info.Size() == 0) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() {
		if p := recover(); p != nil { // bolt panics on a damaged file
			err = fmt.Errorf("cannot rewrite %s: damaged: %v", path, p)
		}
	}()
	var room unix.Statfs_t
	if unix.Statfs(filepath.Dir(path), &room) == nil && int64(room.Bavail)*room.Bsize < 2*info.Size()+spare {
		return nil // on a full disk it waits
	}
	src, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, PreLoadFreelist: true, Timeout: time.Second})
	if err != nil {
		return fmt.Errorf("cannot rewrite %s: %w", path, err)
	}
	defer src.Close()
	if s := src.Stats(); s.FreePageN+s.PendingPageN == 0 {
		return nil
	}
	return rewrite(src, path, info.Mode().Perm())
}

// rewrite puts a copy of what the database holds in its place.
func rewrite(src *bolt.DB, path string, mode fs.FileMode) error {
	fresh := path + ".fresh"
	defer os.Remove(fresh)
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	dst, err := bolt.Open(fresh, mode, &bolt.Options{Timeout: time.Second, NoSync: true})
	if err != nil {
		return fmt.Errorf("cannot rewrite %s: %w", path, err)
	}
	err = bolt.Compact(dst, src, 0)
	if err == nil {
		err = dst.Sync()
	}
	if cerr := dst.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("cannot rewrite %s: %w", path, err)
	}
	if err := os.Rename(fresh, path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
