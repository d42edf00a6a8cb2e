// Package proc reads what the kernel says of processes and cgroups: signals that
// a process would not notice, the end of one that is not ours, counters of use.
// It knows no container.
package proc

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// status reads one field of /proc/PID/status.
func status(pid int, field string) (string, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && name == field {
			return strings.TrimSpace(value), nil
		}
	}
	return "", fmt.Errorf("no field %s in the status of process %d", field, pid)
}

// IgnoresSignal says that sending the signal to a first process would change
// nothing: the kernel drops a signal that the first process of a pid namespace
// neither handles nor blocks (pid_namespaces(7)).
func IgnoresSignal(pid int, signal unix.Signal) bool {
	if signal == unix.SIGKILL || signal == unix.SIGSTOP {
		return false
	}
	for _, field := range []string{"SigCgt", "SigBlk"} {
		text, err := status(pid, field)
		if err != nil {
			return false
		}
		mask, err := strconv.ParseUint(text, 16, 64)
		if err != nil || mask&(1<<(signal-1)) != 0 {
			return false
		}
	}
	return true
}

// IsBeforeExec says that a container's first process is still runc's, which
// is about to become the program: a signal would be lost with it.
func IsBeforeExec(pid int) bool {
	exe, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/exe")
	if err != nil {
		return false
	}
	exe = strings.TrimSuffix(exe, " (deleted)")
	return strings.HasPrefix(exe, "/memfd:runc_cloned") || filepath.Base(exe) == "runc"
}

// Childless is closed once a process has no children that live: their work may
// be worth the grace period even where the process itself can't be told.
func Childless(ctx context.Context, pid int) <-chan struct{} {
	alone := make(chan struct{})
	go func() {
		for ctx.Err() == nil {
			child := firstChild(pid)
			if child == 0 {
				close(alone)
				return
			}
			awaitProcess(ctx, child)
		}
	}()
	return alone
}

// firstChild is a child of a process that is not a zombie, or 0.
func firstChild(pid int) int {
	id := strconv.Itoa(pid)
	b, err := os.ReadFile("/proc/" + id + "/task/" + id + "/children")
	if err != nil {
		return 0
	}
	for _, text := range strings.Fields(string(b)) {
		child, err := strconv.Atoi(text)
		if err != nil {
			continue
		}
		if state, err := status(child, "State"); err == nil && !strings.HasPrefix(state, "Z") {
			return child
		}
	}
	return 0
}

// awaitProcess waits until a process of anybody's has ended.
func awaitProcess(ctx context.Context, pid int) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	const slice = 100 // milliseconds: how late the end of ctx is noticed
	for ctx.Err() == nil {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, slice)
		if n > 0 || err != nil && err != unix.EINTR {
			return
		}
	}
}

// All are the directories of this machine's processes: "/proc/1".
func All() (dirs []string) {
	f, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer f.Close()
	all, _ := f.Readdirnames(-1)
	for _, name := range all {
		if name[0] >= '0' && name[0] <= '9' {
			dirs = append(dirs, "/proc/"+name)
		}
	}
	return dirs
}

// State is the state of a process as ps(1) names it, or "unknown".
func State(pid int) string {
	s, err := status(pid, "State")
	if err != nil {
		return "unknown"
	}
	return s
}

// Parent is the parent of a process, 0 if the process is gone.
func Parent(pid int) int {
	s, _ := status(pid, "PPid")
	parent, _ := strconv.Atoi(s)
	return parent
}

// Resident is the resident set of a process in bytes, 0 if it is gone.
func Resident(pid int) int64 {
	s, _ := status(pid, "VmRSS")
	kB, _ := strconv.ParseInt(strings.TrimSuffix(s, " kB"), 10, 64)
	return kB << 10
}
