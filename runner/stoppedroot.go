package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/containerd/containerd/v2/core/mount"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// The files of a container that doesn't run are its layers, mounted at a place
// of ours, with the mounts that its process would have: what is written below
// a volume is to be in the volume. Meanwhile the container is not started.

func (r *Runner) stoppedRootDir(id string) string { return filepath.Join(r.State, "roots", id) }

// stoppedRoot mounts the root of a container that doesn't run, until release is
// called, which is to be soon once wanted tells that others wait. It has none
// once it is removed; it is that of its process if it has been started meanwhile.
func (c *container) stoppedRoot(ctx context.Context, wanted chan struct{}) (_ *containerRoot, release func(), err error) {
	if err := c.op.lockUntilWanted(ctx, wanted); err != nil {
		return nil, nil, err
	}
	defer func() {
		if release == nil {
			c.op.Unlock()
		}
	}()
	if root, err := c.liveRoot(ctx); !errors.Is(err, ErrNotRunning) {
		return root, nil, err
	}
	c.mu.Lock()
	removing, end := c.state.removing, c.ending
	c.mu.Unlock()
	if removing {
		return nil, nil, nil
	}
	if end != nil { // its process has ended, and may hold its layers still
		if err := c.awaitReaped(ctx, end); err != nil {
			return nil, nil, err
		}
	}
	dir := c.r.stoppedRootDir(c.id)
	if err := c.mountStopped(ctx, dir); err != nil {
		c.r.dropStoppedRoot(c.id)
		return nil, nil, fmt.Errorf("cannot open the files of %s: %w", c.name, err)
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		c.r.dropStoppedRoot(c.id)
		return nil, nil, err
	}
	root, err := c.rootAt(ctx, fd)
	if err != nil {
		c.r.dropStoppedRoot(c.id)
		return nil, nil, err
	}
	doc, err := c.ctr.Spec(ctx)
	if err != nil {
		root.close()
		c.r.dropStoppedRoot(c.id)
		return nil, nil, err
	}
	root.volatile = volatile(doc)
	return root, func() {
		c.r.dropStoppedRoot(c.id)
		c.op.Unlock()
	}, nil
}

// mountStopped mounts a container's layers and what is mounted in them.
func (c *container) mountStopped(ctx context.Context, dir string) error {
	layers, err := c.r.Images.Layer(ctx, c.id)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := mount.All(layers, dir); err != nil {
		return err
	}
	rec := c.snapshot()
	release, err := c.r.volumes.MountSubpaths(c.id, rec.Service, rec.Applied)
	if err != nil {
		return err
	}
	defer release()
	doc, err := c.ctr.Spec(ctx)
	if err != nil {
		return err
	}
	root, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(root)
	for _, m := range doc.Mounts {
		if err := mountInside(&containerRoot{fd: root, dirFD: -1}, m); err != nil {
			return fmt.Errorf("%s: %w", m.Destination, err)
		}
	}
	return nil
}

// volatile are the places in a container whose files its start makes anew.
func volatile(doc *specs.Spec) (places []string) {
	for _, m := range doc.Mounts {
		if m.Type == "tmpfs" {
			places = append(places, m.Destination)
		}
	}
	return places
}

// mountInside binds what a container has at a place in its root there. What
// its process would make anew, such as a tmpfs, is left out. A place that the
// layers don't have is made, as a start would.
func mountInside(root *containerRoot, m specs.Mount) error {
	if m.Type != "bind" && !slices.Contains(m.Options, "bind") && !slices.Contains(m.Options, "rbind") {
		return nil
	}
	source, err := os.Stat(m.Source)
	if err != nil {
		return nil // a start would say so
	}
	place, err := root.place(m.Destination, source.IsDir())
	if err != nil {
		return err
	}
	defer unix.Close(place)
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if slices.Contains(m.Options, "rbind") {
		flags |= unix.AT_RECURSIVE
	}
	tree, err := unix.OpenTree(unix.AT_FDCWD, m.Source, flags)
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	attr := unix.MountAttr{Propagation: unix.MS_PRIVATE}
	if slices.Contains(m.Options, "ro") {
		attr.Attr_set = unix.MOUNT_ATTR_RDONLY
	}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &attr); err != nil {
		return err
	}
	return unix.MoveMount(tree, "", place, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}

// place opens what something is mounted on, and makes it where it is not there.
func (c *containerRoot) place(at string, dir bool) (int, error) {
	clean := path.Clean("/" + at)
	open := func() (int, error) {
		return unix.Openat2(c.fd, clean, &unix.OpenHow{
			Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
		})
	}
	fd, err := open()
	if !errors.Is(err, unix.ENOENT) {
		return fd, err
	}
	if dir {
		return c.makeAll(clean)
	}
	up, err := c.parent(path.Dir(clean), true)
	if err != nil {
		return -1, err
	}
	defer c.forget()
	file, err := unix.Openat(up, path.Base(clean), unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return -1, err
	}
	unix.Close(file)
	return open()
}

// dropStoppedRoot takes away what stoppedRoot has mounted.
func (r *Runner) dropStoppedRoot(id string) {
	dir := r.stoppedRootDir(id)
	if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		r.log.Warn("cannot unmount", "path", dir, "error", err)
		return // what is mounted there are a user's files
	}
	_ = os.Remove(dir)
}

// dropStoppedRoots takes away what an engine before this one has left.
func (r *Runner) dropStoppedRoots() {
	entries, _ := os.ReadDir(r.stoppedRootDir(""))
	for _, e := range entries {
		r.dropStoppedRoot(e.Name())
	}
}
