// Package userns is the users of containers among those of the machine: what the
// engine's settings say of them, what a service can't have that has others than the
// machine's, and how files keep their owners in it. It makes no namespace.
package userns

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/mount"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/spec"
)

// Check is an error, with the key that says so, if a user of a process is none of a
// container's.
func Check(ids *spec.IDMap, user specs.User) (key string, err error) {
	if ids == nil {
		return "", nil
	}
	check := func(key, what string, number uint32) (string, error) {
		if int64(number) < int64(ids.Size) {
			return "", nil
		}
		return key, fmt.Errorf("%s %d is beyond the %d that a container has by userns_remap of the engine's settings: give it another, or a larger range", what, number, ids.Size)
	}
	if key, err := check("user", "user", user.UID); err != nil {
		return key, err
	}
	if key, err := check("user", "group", user.GID); err != nil {
		return key, err
	}
	for _, group := range user.AdditionalGids {
		if key, err := check("group_add", "group", group); err != nil {
			return key, err
		}
	}
	return "", nil
}

// Same is an error if a service that shares the network of another has not its users.
func Same(name string, share spec.Share, s, owner *spec.Service) error {
	mine, theirs := s.IDMap(), owner.IDMap()
	if mine == nil && theirs == nil || mine != nil && theirs != nil && *mine == *theirs {
		return nil
	}
	return fmt.Errorf("services.%s.%s: %s has other users than it (userns_mode, or userns_remap of the engine's settings when it was made): give both the same, or make it anew", name, share.Key, share.Of())
}

// Reachable lets root of a container pass through the state directory to its own root file
// system. What else is there is closed to it.
func Reachable(state string, s *spec.Service) error {
	if s.IDMap() == nil {
		return nil
	}
	for dir, mode := range map[string]os.FileMode{state: 0o711, filepath.Join(state, "secrets"): 0o700} {
		if err := os.Chmod(dir, mode); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("cannot open the way to its root file system: %w", err)
		}
	}
	return nil
}

// Mapped gives the options of mounts by which what is at a path has the users that it
// has on the disk, in a container whose user namespace is at a path; nil for one without
// a map. Where the kernel can't, as of /proc, there are none: it is nobody's there.
func Mapped(ids *spec.IDMap, namespace string) func(source string) ([]string, error) {
	if ids == nil {
		return nil
	}
	return func(source string) ([]string, error) {
		users, err := os.Open(namespace)
		if err != nil {
			return nil, fmt.Errorf("cannot map the owners of %s: the container's user namespace can't be opened: %w", source, err)
		}
		defer users.Close()
		switch {
		case tryMap(users, source, unix.AT_RECURSIVE) == nil:
			return []string{"ridmap"}, nil
		case tryMap(users, source, 0) == nil:
			return []string{"idmap"}, nil
		}
		return nil, nil
	}
}

// tryMap maps a mount that nobody sees.
func tryMap(users *os.File, source string, recursive uint) error {
	tree, err := unix.OpenTree(unix.AT_FDCWD, source, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|recursive)
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	attr := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(users.Fd())}
	return unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH|recursive, attr)
}

// Supported is an error if the machine can't map users: the kernel, or the file system of
// one of the directories that containers have files of.
func Supported(dirs ...string) error {
	users, err := mount.GetUsernsFD("0:100000:65536", "0:100000:65536")
	if err != nil {
		return fmt.Errorf("no user namespace can be made (%w): see max_user_namespaces in /proc/sys/user", err)
	}
	defer users.Close()
	for _, dir := range dirs {
		if err := tryMap(users, dir, 0); err != nil {
			return fmt.Errorf("mounts of %s can't be mapped to other users (%w): use Linux 6.3 or later, and a file system that can, such as ext4, xfs, btrfs and tmpfs", dir, err)
		}
	}
	return nil
}
