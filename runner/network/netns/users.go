package netns

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Users are the users and groups of the machine that those of a namespace are: its root
// is UID and GID, and it has Size of each.
type Users struct {
	UID  int `json:"uid"`
	GID  int `json:"gid"`
	Size int `json:"size"`
}

const usersSuffix = ".users"

// UsersPath is where the user namespace that owns a network namespace is pinned, if that
// was made with Users; "" for "", the machine's network.
func UsersPath(path string) string {
	if path == "" {
		return ""
	}
	return path + usersSuffix
}

// NameOf is the name of the network namespace that a pin in a directory belongs to.
func NameOf(entry string) string { return strings.TrimSuffix(entry, usersSuffix) }

// MakeFor is Make of a network namespace that belongs to a user namespace of its own,
// whose root may do with it what root may. Both are pinned.
func MakeFor(path string, users *Users, inside func() error) error {
	if users == nil {
		return Make(path, inside)
	}
	if err := pinOf(path, users); err != nil {
		return errors.Join(fmt.Errorf("cannot make a user namespace: %w", err), Unpin(path))
	}
	if err := In(path, inside); err != nil {
		return errors.Join(err, Unpin(path))
	}
	return nil
}

// pinOf pins the namespaces of a process that is made for that, and never runs: it stops
// before its program begins.
func pinOf(path string, users *Users) error {
	runtime.LockOSThread() // it is traced by this thread, and ends with it
	defer runtime.UnlockOSThread()
	of := func(first int) []syscall.SysProcIDMap {
		return []syscall.SysProcIDMap{{HostID: first, Size: users.Size}}
	}
	p, err := os.StartProcess("/proc/self/exe", []string{"namespaces"}, &os.ProcAttr{Sys: &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER, Unshareflags: unix.CLONE_NEWNET, UidMappings: of(users.UID), GidMappings: of(users.GID),
		GidMappingsEnableSetgroups: true, Ptrace: true, Pdeathsig: syscall.SIGKILL,
	}})
	if err != nil {
		return err
	}
	// It is a child that nobody has waited for: its number is its own until then.
	namespace := func(kind string) string { return filepath.Join("/proc", fmt.Sprint(p.Pid), "ns", kind) }
	err = errors.Join(pin(namespace("net"), path), pin(namespace("user"), UsersPath(path)))
	_ = p.Kill()
	_, waited := p.Wait()
	return errors.Join(err, waited)
}

// pinUsersAgain pins the user namespace that owns a network namespace, if it was pinned
// once.
func pinUsersAgain(ns int, path string) error {
	at := UsersPath(path)
	if _, err := os.Lstat(at); err != nil || isPin(at) {
		return nil
	}
	owner, err := unix.IoctlRetInt(ns, unix.NS_GET_USERNS)
	if err != nil {
		return fmt.Errorf("cannot find a user namespace again: %w", err)
	}
	defer unix.Close(owner)
	return pin(fmt.Sprintf("/proc/self/fd/%d", owner), at)
}
