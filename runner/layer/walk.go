package layer

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"

	continuity "github.com/containerd/continuity/fs"
	"golang.org/x/sys/unix"
)

// walk reads the directories of a writable layer, which may be written meanwhile: what has
// gone since its name was read is no change.
type walk struct {
	dir   string // of the layer itself, with the marks of an overlay
	upper string // the same without them
	lower string
	list  []Change
}

func (w *walk) directory(ctx context.Context, at string) error {
	entries, err := os.ReadDir(filepath.Join(w.dir, at))
	if err != nil {
		return unlessGone(err)
	}
	for _, e := range entries {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := w.entry(ctx, path.Join(at, e.Name())); unlessGone(err) != nil {
			return err
		}
	}
	return nil
}

func unlessGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// entry adds what became of a name (Linux, filesystems/overlayfs: whiteouts and opaque directories).
func (w *walk) entry(ctx context.Context, at string) error {
	own, below := filepath.Join(w.dir, at), filepath.Join(w.lower, at)
	info, err := os.Lstat(own)
	if err != nil {
		return err
	}
	old, err := os.Lstat(below)
	isNew := errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR)
	switch {
	case err != nil && !isNew:
		return fmt.Errorf("cannot read %s of the image: %w", at, err)
	case isWhiteout(info):
		if !isNew {
			w.add(Deleted, at, nil)
		}
		return nil
	case isNew:
		w.add(Added, at, info)
	default:
		isSame, err := same(below, own, old, info)
		if err != nil {
			return err
		}
		if !isSame {
			w.add(Changed, at, info)
		}
	}
	if !info.IsDir() {
		return nil
	}
	if len(mark(own, "trusted.overlay.redirect")) > 0 {
		return fmt.Errorf("%s was renamed by an overlay with redirect_dir, which can't be read", at)
	}
	isOpaque := string(mark(own, "trusted.overlay.opaque")) == "y" || string(mark(own, "user.overlay.opaque")) == "y"
	if isNew || !isOpaque {
		return w.directory(ctx, at)
	}
	return continuity.Changes(ctx, below, filepath.Join(w.upper, at), func(k continuity.ChangeKind, p string, f os.FileInfo, err error) error {
		if err == nil && k != continuity.ChangeKindUnmodified {
			w.add(kindOf(k), path.Join(at, p), f)
		}
		return err
	})
}

func (w *walk) add(kind Kind, at string, info fs.FileInfo) {
	c := Change{Kind: kind, Path: at}
	if kind != Deleted && info != nil {
		if c.IsFile = info.Mode().IsRegular(); c.IsFile {
			c.Size = info.Size()
		}
	}
	w.list = append(w.list, c)
}

// mark is an attribute of a file; none where it has none.
func mark(at, name string) []byte {
	value := make([]byte, 64<<10)
	n, err := unix.Lgetxattr(at, name, value)
	if err != nil {
		return nil
	}
	return value[:n]
}

// isWhiteout says that a device stands for a file that is deleted.
func isWhiteout(info fs.FileInfo) bool {
	st, is := info.Sys().(*syscall.Stat_t)
	return is && info.Mode()&fs.ModeCharDevice != 0 && st.Rdev == 0
}

// same says that a file was copied into the layer, and nothing else: a directory with what is
// in it, for one. A time of whole seconds may have been cut, and says nothing.
func same(x, y string, xi, yi fs.FileInfo) (bool, error) {
	xs, isX := xi.Sys().(*syscall.Stat_t)
	ys, isY := yi.Sys().(*syscall.Stat_t)
	const capability = "security.capability"
	switch {
	case !isX || !isY || xs.Mode != ys.Mode || xs.Uid != ys.Uid || xs.Gid != ys.Gid || xs.Rdev != ys.Rdev:
		return false, nil
	case !bytes.Equal(mark(x, capability), mark(y, capability)):
		return false, nil
	case xi.IsDir():
		return true, nil
	case xi.Size() != yi.Size() || !xi.ModTime().Equal(yi.ModTime()):
		return false, nil
	case xi.ModTime().Nanosecond() != 0 || xi.Size() == 0:
		return true, nil
	case xi.Mode()&fs.ModeSymlink != 0:
		to, err := os.Readlink(x)
		now, errNow := os.Readlink(y)
		return to == now, errors.Join(err, errNow)
	case !xi.Mode().IsRegular():
		return true, nil
	}
	return sameContent(x, y)
}

func sameContent(x, y string) (bool, error) {
	a, err := os.Open(x)
	if err != nil {
		return false, err
	}
	defer a.Close()
	b, err := os.Open(y)
	if err != nil {
		return false, err
	}
	defer b.Close()
	const piece = 64 << 10
	from, to := bufio.NewReaderSize(a, piece), bufio.NewReaderSize(b, piece)
	for {
		p, err := from.Peek(piece)
		q, errNow := to.Peek(piece)
		if !bytes.Equal(p, q) {
			return false, nil
		}
		switch {
		case errors.Is(err, io.EOF):
			return true, nil
		case err != nil || errNow != nil:
			return false, errors.Join(err, errNow)
		}
		_, _ = from.Discard(piece)
		_, _ = to.Discard(piece)
	}
}
