// Package hostlock excludes the engines of one host from each other while they change
// what they share of its network. It must not know what that is.
package hostlock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Path is the file that is locked. A host is a network namespace: the file is named
// by that of the calling thread, and is shared by engines of all state directories.
func Path() (string, error) {
	info, err := os.Stat("/proc/thread-self/ns/net")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("/run/orlop-host-%d.lock", info.Sys().(*syscall.Stat_t).Ino), nil
}

// Take waits for the lock until ctx ends. Nobody but root can open its file, and
// so hold it: a lock that anybody may take would let anybody stop every engine.
func Take(ctx context.Context) (unlock func(), err error) {
	f, err := open()
	if err != nil {
		return nil, fmt.Errorf("cannot lock the networks of this machine: %w", err)
	}
	got := make(chan error, 1)
	go func() {
		err := error(unix.EINTR)
		for errors.Is(err, unix.EINTR) {
			err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		}
		got <- err
	}()
	select {
	case err := <-got:
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("cannot lock the networks of this machine: %w", err)
		}
		return func() { f.Close() }, nil
	case <-ctx.Done():
		go func() { <-got; f.Close() }()
		return nil, context.Cause(ctx)
	}
}

// open opens the lock's file, which nobody else may own or open.
func open() (*os.File, error) {
	path, err := Path()
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && (info.Mode() != 0o600 || int(info.Sys().(*syscall.Stat_t).Uid) != os.Geteuid()) {
		err = fmt.Errorf("%s is not a file of root's own (mode %s): remove it", path, info.Mode())
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
