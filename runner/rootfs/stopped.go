package rootfs

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"

	"github.com/containerd/containerd/v2/core/mount"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/spec/openat"
)

// The files of a container that doesn't run are its layers, mounted at a place
// of ours, with the mounts that its process would have: what is written below
// a volume is to be in the volume.

// OpenStopped mounts the layers of a container that doesn't run at dir, with what
// its document mounts in them, and opens the root that is made of them. Unmount
// takes it away again.
func OpenStopped(container string, layers []mount.Mount, doc *specs.Spec, dir string) (_ *Root, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, Unmount(dir))
		}
	}()
	if err := mount.All(layers, dir); err != nil {
		return nil, err
	}
	root, err := Open(container, dir, doc)
	if err != nil {
		return nil, err
	}
	places := &Root{fd: root.fd, dirFD: -1, users: root.users, uid: root.users.uid, gid: root.users.gid} // of root's, as a start would make them
	defer places.forget()
	users, err := usersOf(doc)
	if err != nil {
		root.Close()
		return nil, err
	}
	defer users.Close()
	for _, m := range doc.Mounts {
		if err := mountInside(places, m, users); err != nil {
			root.Close()
			return nil, fmt.Errorf("%s: %w", m.Destination, err)
		}
	}
	if doc.Root != nil && doc.Root.Readonly {
		if err := unix.MountSetattr(root.fd, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
			root.Close()
			return nil, err
		}
	}
	root.volatile = volatile(doc)
	return root, nil
}

// Unmount takes away what OpenStopped has mounted at dir, if anything is.
func Unmount(dir string) error {
	err := unix.Unmount(dir, unix.MNT_DETACH)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("cannot unmount %s: %w", dir, err) // what is mounted there are a user's files
	}
	_ = os.Remove(dir)
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
// layers don't have is made, as a start would. users are those that files are mapped to;
// nil where they are not.
func mountInside(root *Root, m specs.Mount, users *os.File) error {
	if m.Type != "bind" && !slices.Contains(m.Options, "bind") && !slices.Contains(m.Options, "rbind") {
		return nil
	}
	source, err := os.Stat(m.Source)
	if err != nil {
		return nil // a start would say so
	}
	place := -1
	err = root.users.do(func() (err error) {
		place, err = root.place(m.Destination, source.IsDir())
		return err
	})
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
	if err := mapTree(tree, m, users); err != nil {
		return err
	}
	return unix.MoveMount(tree, "", place, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}

// place opens what something is mounted on, and makes it where it is not there.
func (c *Root) place(at string, dir bool) (int, error) {
	clean := path.Clean("/" + at)
	open := func() (int, error) {
		return openat.Open(c.fd, clean, &unix.OpenHow{
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
	defer unix.Close(file)
	if err := unix.Fchown(file, c.uid, c.gid); err != nil {
		return -1, err
	}
	return open()
}
