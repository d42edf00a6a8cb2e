package registries

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// owner is whose a file is: what root writes in somebody's home, as under sudo, stays theirs.
type owner struct{ user, group int }

// ownerOf is the owner of a file; of one that is not there, that of the directory that it is to be in.
func ownerOf(path string) (owner, error) {
	for {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) && filepath.Dir(path) != path {
			path = filepath.Dir(path)
			continue
		}
		if err != nil {
			return owner{}, err
		}
		if s, ok := info.Sys().(*syscall.Stat_t); ok {
			return owner{int(s.Uid), int(s.Gid)}, nil
		}
		return owner{os.Geteuid(), os.Getegid()}, nil
	}
}

// give gives a file to the owner, as far as root or a member of the group can.
func (o owner) give(path string) error {
	err := os.Lchown(path, o.user, o.group)
	if err != nil && o.user == os.Geteuid() && errors.Is(err, fs.ErrPermission) {
		return nil // another group alone
	}
	return err
}

// makeDir makes a directory of the owner's, and those above it that are missing.
func (o owner) makeDir(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := o.makeDir(filepath.Dir(path)); err != nil {
		return err
	}
	err := os.Mkdir(path, 0o700)
	if errors.Is(err, fs.ErrExist) { // another command was faster
		return nil
	}
	if err != nil {
		return err
	}
	return o.give(path)
}

// alone waits until no other command changes files of a directory, and holds others back until done is called. The
// lock is the directory's own, so that nothing is left behind. A file system that has no such locks has none.
func alone(dir string) (done func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err == nil, errors.Is(err, unix.ENOLCK), errors.Is(err, unix.EBADF), errors.Is(err, unix.EOPNOTSUPP):
			return func() { f.Close() }, nil
		}
		f.Close()
		return nil, err
	}
}
