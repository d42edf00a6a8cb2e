package layers

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// errMore ends a walk that has found what an archive leaves out.
var errMore = errors.New("more than an archive has")

// IsWhole says that an archive of the layer in a directory has all that is in it, so that what is unpacked
// from it elsewhere is the same. It leaves out sockets, attributes other than capabilities, and the mode and
// the owner of the root directory, which is below that of parent, "" where there is none. Times have
// fractions of a second here.
func IsWhole(dir, parent string) (bool, error) {
	root, err := os.Lstat(dir)
	if err != nil {
		return false, err
	}
	var uid, gid uint32
	if parent != "" {
		below, err := os.Lstat(parent)
		if err != nil {
			return false, err
		}
		uid, gid = owner(below)
	}
	if u, g := owner(root); root.Mode() != fs.ModeDir|0o755 || u != uid || g != gid {
		return false, nil
	}
	names := make([]byte, 4096)
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.Type() == fs.ModeSocket {
			return errMore
		}
		n, err := unix.Llistxattr(path, names)
		if errors.Is(err, unix.ERANGE) || err == nil && hasMore(names[:n]) {
			return errMore
		}
		if errors.Is(err, unix.ENOTSUP) {
			return nil
		}
		return err
	})
	if errors.Is(err, errMore) {
		return false, nil
	}
	return err == nil, err
}

// hasMore says that there is one among names of attributes that archives don't have.
func hasMore(names []byte) bool {
	for name := range bytes.SplitSeq(names, []byte{0}) {
		switch text := string(name); {
		case text == "", text == "security.capability", text == "security.selinux": // the machine's own policy has the latter
		case strings.HasPrefix(text, "trusted.overlay."), strings.HasPrefix(text, "user.overlay."):
		default:
			return true
		}
	}
	return false
}

func owner(info fs.FileInfo) (uid, gid uint32) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Uid, st.Gid
	}
	return 0, 0
}
