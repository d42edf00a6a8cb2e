package userfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/spec/openat"
)

// Location is where a user's file was found, so that a program with more rights than
// its user can read the same one later: what has taken its place is not opened.
type Location struct {
	Path  string `json:"path"` // absolute, and along no link
	Owner uint32 `json:"owner"`
}

// ErrMoved is what is wrong with a location that a link or somebody else's file
// has taken the place of.
var ErrMoved = errors.New("something else is in its place")

// Locate finds a file, along links. It is not opened.
func Locate(path string) (Location, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return Location{}, err
	}
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return Location{}, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return Location{Path: path, Owner: st.Uid}, nil
}

// Read reads the regular file, of at most limit bytes, at the location. It goes along
// no link, at no directory of the path, and opens nothing that another owns: whoever may
// write to one of those directories gets no more read than what was theirs.
func (l Location) Read(limit int64) ([]byte, error) {
	fd, err := openat.Open(unix.AT_FDCWD, l.Path, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
	if errors.Is(err, unix.ELOOP) {
		err = fmt.Errorf("%w: a link", ErrMoved)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: l.Path, Err: err}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, &fs.PathError{Op: "stat", Path: l.Path, Err: err}
	}
	if st.Uid != l.Owner {
		return nil, &fs.PathError{Op: "open", Path: l.Path, Err: fmt.Errorf("%w: a file of another user", ErrMoved)}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, &fs.PathError{Op: "open", Path: l.Path, Err: fmt.Errorf("%w: it is %w", ErrMoved, ErrNotRegular)}
	}
	f, err := os.Open("/proc/self/fd/" + strconv.Itoa(fd)) // the very file that was looked at
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, l.Path, limit)
}
