package tasks

import (
	"errors"
	"fmt"
	"os"

	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/process"
	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/runc"
	"github.com/containerd/containerd/v2/core/mount"
	"golang.org/x/sys/unix"
)

// To unmount a root file system, containerd looks through all mounts of the machine for such as
// are below it, in the shim and once more in the engine: for many containers at once that
// is most of what their end costs. There are none but in the container's own namespace, which the kernel tells.

// takeRoot takes it on to unmount the root file system of a container, and says where it is.
func takeRoot(c *runc.Container) string {
	p, err := c.Process("")
	if err != nil {
		return ""
	}
	first, ok := p.(*process.Init)
	if !ok {
		return ""
	}
	at := first.Rootfs
	first.Rootfs = ""
	return at
}

// removeRoot unmounts the root file system of a container that has ended, and what may be below it. Its place
// goes, too: where it isn't there, containerd looks for no mounts.
func removeRoot(at string) error {
	if at == "" {
		return nil
	}
	err := unix.Unmount(at, unix.UMOUNT_NOFOLLOW)
	if err == nil {
		err = unix.Rmdir(at) // busy, if another was mounted below
	}
	if err == nil || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err := mount.UnmountRecursive(at, 0); err != nil {
		return fmt.Errorf("failed rootfs umount: %w", err)
	}
	return nil
}
