// Package temporary is the directory of the engine's temporary files and mounts.
package temporary

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Dir is where the engine's temporary files and mounts are: images that are
// looked into, build steps. It is the engine's TMPDIR.
func Dir(root string) string { return root + "/tmp" }

// Clear removes what an engine that was killed has left in the directory, and
// has containerd mount there. Where something stays mounted nothing is removed: it
// would be removed of what is mounted.
func Clear(dir string) error {
	if err := mount.SetTempMountLocation(dir); err != nil {
		return fmt.Errorf("cannot make the directory of temporary files: %w", err)
	}
	left, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	if err != nil {
		return fmt.Errorf("cannot tell what an earlier engine has left mounted: %w", err)
	}
	var errs []error
	for _, m := range slices.Backward(left) { // what was mounted last first
		errs = append(errs, unix.Unmount(m.Mountpoint, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("what an earlier engine has mounted in %s stays: %w", dir, err)
	}
	entries, err := os.ReadDir(dir)
	errs = []error{err}
	for _, e := range entries {
		errs = append(errs, os.RemoveAll(dir+"/"+e.Name()))
	}
	return errors.Join(errs...)
}
