package rootfs

import (
	"fmt"
	"os"
	"runtime"
	"slices"

	"github.com/containerd/containerd/v2/core/mount"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// owner is root of a container among the users of the machine. The zero one is the
// machine's.
type owner struct{ uid, gid int }

// ownerOf is root of the container of a document.
func ownerOf(doc *specs.Spec) (o owner) {
	if doc.Linux != nil && len(doc.Linux.UIDMappings) > 0 && len(doc.Linux.GIDMappings) > 0 {
		o = owner{int(doc.Linux.UIDMappings[0].HostID), int(doc.Linux.GIDMappings[0].HostID)}
	}
	return o
}

// do calls f as that root: what it makes is the container's. The machine's root has no
// number in a mount that is mapped to the container's users, and can make nothing there. It
// keeps all capabilities.
func (o owner) do(f func() error) error {
	if o == (owner{}) {
		return f()
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never back: the thread ends with its identity
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var caps [2]unix.CapUserData
		err := unix.Capget(&header, &caps[0])
		if err == nil {
			err = unix.Setfsgid(o.gid)
		}
		if err == nil {
			err = unix.Setfsuid(o.uid)
		}
		if err == nil { // it took those away that have to do with files
			err = unix.Capset(&header, &caps[0])
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// usersOf is a user namespace with the users of the container of a document; nil where
// they are the machine's own.
func usersOf(doc *specs.Spec) (*os.File, error) {
	if ownerOf(doc) == (owner{}) {
		return nil, nil
	}
	label := func(m specs.LinuxIDMapping) string { return fmt.Sprintf("%d:%d:%d", m.ContainerID, m.HostID, m.Size) }
	return mount.GetUsernsFD(label(doc.Linux.UIDMappings[0]), label(doc.Linux.GIDMappings[0]))
}

// mapTree maps the files of a mount to a container's users, where that is asked for.
func mapTree(tree int, m specs.Mount, users *os.File) error {
	flags := uint(unix.AT_EMPTY_PATH)
	switch {
	case users == nil:
		return nil
	case slices.Contains(m.Options, "ridmap"):
		flags |= unix.AT_RECURSIVE
	case !slices.Contains(m.Options, "idmap"):
		return nil
	}
	return unix.MountSetattr(tree, "", flags, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(users.Fd())})
}
