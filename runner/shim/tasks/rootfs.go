package tasks

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/process"
	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/runc"
	"github.com/containerd/containerd/v2/core/mount"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"github.com/orlop/orlop/runner/shim/native/root"
)

// The root file system of a container is mounted by its first process (package root). Where that can't be, the
// library mounts it, or containerd does, in the machine's namespace.
//
// To unmount one, containerd looks through all mounts of the machine for such as are below it, in the shim and
// once more in the engine: for many containers at once that is most of what their end costs. There are none but
// in the container's own namespace, which the kernel tells.

// noted leaves word of a container's root file system in its bundle, and is the request without it. A request
// that is no case for that is as it was.
func noted(r *taskapi.CreateTaskRequest) (*taskapi.CreateTaskRequest, error) {
	m, ok := alone(r.Rootfs)
	if !ok || r.Checkpoint != "" {
		return r, nil
	}
	if err := os.Mkdir(filepath.Join(r.Bundle, root.Dir), 0o711); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	if err := root.Note(r.Bundle, m); err != nil {
		return nil, err
	}
	r = proto.CloneOf(r)
	r.Rootfs = nil
	return r, nil
}

// takenByKernel are the options that the kernel knows: others are containerd's to carry out.
var takenByKernel = []string{"lowerdir", "upperdir", "workdir", "index", "xino", "metacopy", "redirect_dir", "nfs_export", "userxattr", "volatile"}

// dataSize is how much the kernel takes of a mount's options. containerd has a way around it.
const dataSize = 4000

// alone is the one mount that a root file system consists of, if it is of layers and the kernel takes
// it as it is.
func alone(mounts []*types.Mount) (root.Mount, bool) {
	if len(mounts) != 1 || mounts[0].Type != "overlay" || mounts[0].Target != "" {
		return root.Mount{}, false
	}
	for _, option := range mounts[0].Options {
		if key, _, _ := strings.Cut(option, "="); !slices.Contains(takenByKernel, key) {
			return root.Mount{}, false
		}
	}
	m := root.Mount{Type: "overlay", Source: "overlay", Data: strings.Join(mounts[0].Options, ",")}
	return m, len(m.Data) < dataSize
}

// leaveRoot has containerd leave the root file system of a container mounted: that is removeRoot's.
func leaveRoot(c *runc.Container) {
	p, err := c.Process("")
	if err != nil {
		return
	}
	if first, ok := p.(*process.Init); ok {
		first.Rootfs = ""
	}
}

// removeRoot unmounts the root file system of a container that has ended, and what may be below it. Its place
// goes, too: where it isn't there, containerd looks for no mounts.
func removeRoot(at string) error {
	if at == "" {
		return nil
	}
	err := unix.Unmount(at, unix.UMOUNT_NOFOLLOW)
	if err == nil || errors.Is(err, unix.EINVAL) { // EINVAL: it was mounted by the container itself
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
