package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// largestReserve bounds what is kept back, in bytes.
const largestReserve = 16 << 20

// reserveName is the file that takes the room which is kept back.
const reserveName = "reserve"

// Reserve is room that is kept back: a file that is there while the disk has
// room, and is given up so that things can be removed when it has none. A nil
// one keeps nothing back.
type Reserve struct {
	path string

	mu sync.Mutex // held while the file is made or given up
}

// Keep keeps room back in a directory from now on, if there is any. With an error
// too it gives a Reserve, which has nothing yet.
func Keep(dir string) (*Reserve, error) {
	r := &Reserve{path: filepath.Join(dir, reserveName)}
	free, _, err := Room(dir)
	if err != nil {
		return r, err
	}
	if free < Spare/2 {
		return r, r.Give()
	}
	return r, r.Take()
}

// size is how much is kept back of a file system: a hundredth, within bounds.
func size(total int64) int64 { return min(max(total/100, Spare), largestReserve) }

// Take takes the room, unless it is taken or there is too little.
func (r *Reserve) Take() error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	free, total, err := Room(filepath.Dir(r.path))
	if err != nil {
		return err
	}
	want := size(total)
	if st, err := os.Stat(r.path); err == nil && st.Size() == want {
		return nil
	}
	if free < 3*want {
		return nil
	}
	f, err := os.OpenFile(r.path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("cannot keep room back: %w", err)
	}
	defer f.Close()
	err = unix.EINTR
	for errors.Is(err, unix.EINTR) {
		err = unix.Fallocate(int(f.Fd()), 0, 0, want)
	}
	if IsFull(err) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return os.Remove(r.path)
	}
	if err != nil {
		return fmt.Errorf("cannot keep room back: %w", err)
	}
	return nil
}

// Give gives the room up.
func (r *Reserve) Give() error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := os.Remove(r.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot give up the room that was kept back: %w", err)
	}
	return nil
}

// GiveIfFull gives the room up if there is hardly any other.
func (r *Reserve) GiveIfFull() error {
	if r == nil {
		return nil
	}
	free, _, err := Room(filepath.Dir(r.path))
	if err != nil || free >= Spare {
		return err
	}
	return r.Give()
}
