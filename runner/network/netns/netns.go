// Package netns makes, enters and pins network namespaces. What is in them is not
// its business.
package netns

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Network namespaces belong to threads, and Go moves goroutines among threads.
// So whatever happens inside a namespace runs on a goroutine of its own that is
// tied to its thread. A thread that cannot be brought back is not used again:
// its goroutine ends without untying it, and the runtime ends the thread.

// Make makes a network namespace, pins it to path and runs inside in it.
// When that fails, the namespace goes.
func Make(path string, inside func() error) error {
	return onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("cannot make a network namespace: %w", err)
		}
		if err := pin("/proc/thread-self/ns/net", path); err != nil {
			return err
		}
		if err := inside(); err != nil {
			return errors.Join(err, Unpin(path))
		}
		return nil
	})
}

// In runs inside in the namespace that is pinned to path.
func In(path string, inside func() error) error {
	ns, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("cannot enter a network namespace: %w", err)
	}
	defer ns.Close()
	return onThread(func() error {
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("cannot enter network namespace %s: %w", path, err)
		}
		return inside()
	})
}

// onThread runs f on a thread whose network namespace f may change.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			runtime.UnlockOSThread()
			done <- fmt.Errorf("cannot tell the network namespace: %w", err)
			return
		}
		defer home.Close()
		err = f()
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

func pin(namespace, path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o600)
	if err != nil {
		return fmt.Errorf("cannot pin a network namespace: %w", err)
	}
	f.Close()
	if err := unix.Mount(namespace, path, "", unix.MS_BIND, ""); err != nil {
		return errors.Join(fmt.Errorf("cannot pin a network namespace to %s: %w", path, err), os.Remove(path))
	}
	return nil
}

// Unpin lets a namespace go, with the user namespace that owns it, and is content if
// there is none. It lives on while a process is in it.
func Unpin(path string) error {
	return errors.Join(unpin(path), unpin(UsersPath(path)))
}

func unpin(path string) error {
	err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("cannot let network namespace %s go: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("cannot let network namespace %s go: %w", path, err)
	}
	return nil
}

// IsPinned reports whether a namespace is mounted at path, and the user namespace that
// owns it beside it if it was made with one.
func IsPinned(path string) bool {
	if !isPin(path) {
		return false
	}
	var fs unix.Statfs_t
	err := unix.Statfs(UsersPath(path), &fs)
	return err != nil || fs.Type == unix.NSFS_MAGIC
}

func isPin(path string) bool {
	var fs unix.Statfs_t
	return unix.Statfs(path, &fs) == nil && fs.Type == unix.NSFS_MAGIC
}

// siocgskns is SIOCGSKNS of the kernel: the network namespace of a socket.
const siocgskns = 0x894C

// PinAgain pins the namespace of a socket, whose pin somebody has taken away.
func PinAgain(socket syscall.Conn, path string) error {
	raw, err := socket.SyscallConn()
	if err != nil {
		return fmt.Errorf("cannot find a network namespace again: %w", err)
	}
	ns, inner := -1, error(nil)
	err = raw.Control(func(fd uintptr) { ns, inner = unix.IoctlRetInt(int(fd), siocgskns) })
	if err = errors.Join(err, inner); err != nil {
		return fmt.Errorf("cannot find a network namespace again: %w", err)
	}
	defer unix.Close(ns)
	if !isPin(path) {
		if err := pin(fmt.Sprintf("/proc/self/fd/%d", ns), path); err != nil {
			return err
		}
	}
	return pinUsersAgain(ns, path)
}
