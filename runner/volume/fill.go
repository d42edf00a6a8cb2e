package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/containerd/containerd/v2/core/mount"
	cfs "github.com/containerd/continuity/fs"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/failpoint"
	"github.com/orlop/orlop/runner/disk"
)

// fill copies what an image has at target into a volume that is empty, with
// owners and modes; the volume's own directory takes those of the target. It is
// asked of every container that is made, for the first to mount a volume may
// have nothing there, and a volume may have been emptied since. Others may have
// the volume mounted. rootfs are the mounts of a snapshot of the image.
func (v *Store) fill(ctx context.Context, vol *Volume, rootfs []mount.Mount, target string) error {
	vol.fill.Lock()
	defer vol.fill.Unlock()
	data := v.Path(vol.Name)
	if err := finishFill(data); err != nil {
		return fmt.Errorf("cannot fill volume %s from the image: %w", vol.Name, err)
	}
	entries, err := os.ReadDir(data)
	if err != nil {
		return fmt.Errorf("cannot read volume %s: %w", vol.Name, err)
	}
	if slices.ContainsFunc(entries, func(e os.DirEntry) bool { return filepath.Join(data, e.Name()) != partCopy(data) }) || isReadOnly(data) {
		return nil
	}
	var has bool
	err = mount.WithReadonlyTempMount(ctx, rootfs, func(root string) (err error) {
		has, err = fillFrom(root, target, data, vol.Owned)
		return err
	})
	if err != nil {
		return fmt.Errorf("cannot fill volume %s from the image: %w", vol.Name, err)
	}
	if has && !vol.Owned {
		v.mu.Lock()
		vol.Owned = true
		v.save(vol)
		v.mu.Unlock()
	}
	return nil
}

// fillFrom fills an empty directory with what a root file system has at
// target, and says whether it has a directory there. One that is empty gives
// no more than owner and mode, and those only where no other image has.
func fillFrom(root, target, data string, isOwned bool) (bool, error) {
	src, err := imageDirectory(root, target)
	if src == "" || err != nil {
		return false, err
	}
	entries, err := os.ReadDir(src)
	if err != nil || len(entries) == 0 && isOwned {
		return true, err
	}
	part := partCopy(data)
	if err := errors.Join(os.RemoveAll(part), os.Mkdir(part, 0o700)); err != nil {
		return true, err
	}
	// A copy that is cut short is never taken for a volume's content: what is
	// whole gets the name that finishFill looks for.
	if err := cfs.CopyDir(part, src); err != nil {
		return true, err
	}
	if err := disk.Sync(part); err != nil { // or it would count as whole after a loss of power
		return true, err
	}
	if err := os.Rename(part, wholeCopy(data)); err != nil {
		return true, err
	}
	failpoint.Hit("volume/copied")
	return true, finishFill(data)
}

func wholeCopy(data string) string { return besideOrIn(data, "_fill") }

func partCopy(data string) string { return besideOrIn(data, "_part") }

// besideOrIn is a place that things can be renamed from into a volume's directory: beside
// it, unless something else is mounted there.
func besideOrIn(data, name string) string {
	if isMounted(data) {
		return filepath.Join(data, ".orlop"+name)
	}
	return filepath.Join(filepath.Dir(data), name)
}

// finishFill moves a whole copy into the volume's directory, which stays the
// same for whoever has it mounted, and goes on where an engine was killed. A
// name that is taken was taken since the volume was found empty: what its
// containers wrote stays, and the rest of the copy is dropped.
func finishFill(data string) error {
	whole := wholeCopy(data)
	entries, err := os.ReadDir(whole)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		err := moveNew(filepath.Join(whole, e.Name()), filepath.Join(data, e.Name()))
		if errors.Is(err, fs.ErrExist) {
			return os.RemoveAll(whole)
		}
		if err != nil {
			return err
		}
	}
	failpoint.Hit("volume/filled")
	// By now it has nothing but its owner, mode and attributes.
	return errors.Join(err, cfs.CopyDir(data, whole), os.RemoveAll(whole))
}

// moveNew is a rename that replaces nothing, not even an empty directory.
func moveNew(from, to string) error {
	if err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE); err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// imageDirectory is the directory that a root file system has at target, ""
// if there is none. Links are followed inside the root only: what the image
// says is untrusted.
func imageDirectory(root, target string) (string, error) {
	src, err := cfs.RootPath(root, target)
	if err != nil {
		return "", err
	}
	st, err := os.Lstat(src)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !st.IsDir() {
		return "", nil
	}
	return src, err
}
