// Package rootlock makes sure that one engine at a time owns a root directory.
package rootlock

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/runner/proc"
)

// LeaveTime is how long an engine that has lost its keeper may take to leave: it
// finishes what it has begun within a time limit, and its containerd.
const LeaveTime = 20 * time.Second

// Take makes sure that one engine at a time owns the root. It waits for one
// whose keeper is gone, for that is on its way out, but no longer than patience.
func Take(root string, patience time.Duration) (*os.File, error) {
	path := filepath.Join(root, "engine.lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		text, _ := io.ReadAll(f)
		holder := strings.TrimSpace(string(text))
		if isKept(holder) || !awaitFlock(f, patience) {
			f.Close()
			return nil, fmt.Errorf("another engine (process %s) owns %s: stop it, or set ORLOP_ROOT", holder, root)
		}
		err = nil
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot lock %s: %w", path, err)
	}
	_ = f.Truncate(0) // the number is for people, and may fail where the disk is full
	_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return f, nil
}

// isKept says that a process, by its number, has a keeper as its parent.
func isKept(number string) bool {
	pid, err := strconv.Atoi(number)
	if err != nil {
		return false
	}
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", proc.Parent(pid)))
	return err == nil && strings.TrimSpace(string(name)) == "orlopd"
}

// awaitFlock waits for the lock of a file, and says whether it came in time. If
// not, the wait ends with this process, which is about to end.
func awaitFlock(f *os.File, limit time.Duration) bool {
	// Of its own: who gives up closes the file. The lock is of both.
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return false
	}
	got := make(chan error, 1)
	go func() {
		defer unix.Close(fd)
		err := error(unix.EINTR)
		for errors.Is(err, unix.EINTR) {
			err = unix.Flock(fd, unix.LOCK_EX)
		}
		got <- err
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-got:
		return err == nil
	case <-timer.C:
		return false
	}
}
