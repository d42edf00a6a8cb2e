// Package disk says how much room the file system of a directory has, and keeps
// some of it back, so that what makes room on a full disk can be carried out. It
// knows nothing of what is kept there.
package disk

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Spare is how many bytes of a disk that is no smaller than sixteen times that
// are kept for what can't wait.
const Spare = 4 << 20

// plenty is so many bytes that a disk which has them is not full.
const plenty = 256 << 20

// MayWait says whether what can wait, as logs, is to leave the rest of the room at
// a path to what can't.
func MayWait(path string) bool {
	free, total, err := Room(path)
	return err == nil && free < min(Spare, total/16)
}

// Room is how many bytes the file system of a path has free, and in all.
func Room(path string) (free, total int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, 0, fmt.Errorf("cannot ask how much room there is at %s: %w", path, err)
	}
	return int64(st.Bavail) * st.Bsize, int64(st.Blocks) * st.Bsize, nil
}

// IsFull says that something failed for want of room. Errors that came through
// another process or a protocol have their text alone.
func IsFull(err error) bool {
	if err == nil {
		return false
	}
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return true
	}
	text := err.Error()
	return strings.Contains(text, "no space left on device") || strings.Contains(text, "disk quota exceeded")
}

// FullError says that there is no room for something.
type FullError struct {
	Path string // of a directory on the full file system
	Need int64  // bytes, at least; 0 if it is not known
	Have int64  // bytes
	Err  error  // what failed; nil if it was not tried
}

func (e *FullError) Error() string {
	need := ""
	if e.Need > e.Have {
		need = Bytes(e.Need) + " needed, "
	}
	text := fmt.Sprintf("no space: %s%s free at %s: make room, for example with \"orlop gc\", \"orlop image rm\" or \"orlop volume rm\"", need, Bytes(e.Have), e.Path)
	if e.Err != nil {
		text = e.Err.Error() + " (" + text + ")"
	}
	return text
}

func (e *FullError) Unwrap() error { return e.Err }

// Explain adds to an error that tells of a full disk how much is free at a path,
// and how much was needed at least; 0 is unknown. Others it leaves alone.
func Explain(err error, path string, need int64) error {
	if _, explained := errors.AsType[*FullError](err); explained || !IsFull(err) {
		return err
	}
	free, _, rerr := Room(path)
	if rerr != nil || free > plenty && need <= free {
		return err // the kernel says the same of other things that are used up
	}
	return &FullError{Path: path, Need: need, Have: free, Err: err}
}

// Need is an error if it is known that not so many bytes are free at a path.
func Need(path string, bytes int64) error {
	free, _, err := Room(path)
	if err != nil || free >= bytes {
		return nil
	}
	return &FullError{Path: path, Need: bytes, Have: free}
}

// Bytes is a number of bytes as people read it.
func Bytes(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.0f kB", float64(n)/1e3)
}
