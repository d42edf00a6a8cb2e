package keeper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// KillEngine kills the engine of the keeper that has the state directory: one
// that hangs answers no call. Its keeper starts the next one, and containers
// live on. It gives the process that was killed.
func KillEngine(state string) (pid int, err error) {
	keeper, ok := Running(state)
	if !ok || keeper == 0 {
		return 0, errors.New("no keeper runs that has an engine")
	}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	for _, path := range stats {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil || parentOf(pid) != keeper || !isEngine(pid, state) {
			continue // where the keeper is the first process, shims are its children, too
		}
		return pid, killChild(pid, keeper)
	}
	return 0, fmt.Errorf("the keeper, process %d, has no engine now", keeper)
}

// isEngine says that a process was started as the engine of a state directory.
func isEngine(pid int, state string) bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	if err != nil {
		return false
	}
	args := strings.Split(string(text), "\x00")
	if abs, err := filepath.Abs(state); err == nil {
		state = abs // as the keeper has made it
	}
	at := slices.Index(args, "--state")
	return at > 0 && at+1 < len(args) && args[at+1] == state
}

// killChild kills a process if it is still its parent's.
func killChild(pid, parent int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fmt.Errorf("cannot kill process %d: %w", pid, err)
	}
	defer unix.Close(fd)
	if parentOf(pid) != parent { // the number was another's
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("cannot kill process %d: %w", pid, err)
	}
	return nil
}

// parentOf is the parent of a process, 0 if it is gone.
func parentOf(pid int) int {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 2 {
		return 0
	}
	parent, _ := strconv.Atoi(fields[1])
	return parent
}

// Stop ends the keeper that has the state directory, and with it its engine, and
// waits for it. It is for a keeper whose engine can't be asked.
func Stop(ctx context.Context, state string) error {
	pid, ok := Running(state)
	if !ok || pid == 0 {
		return nil
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fmt.Errorf("cannot end the keeper, process %d: %w", pid, err)
	}
	defer unix.Close(fd)
	if now, ok := Running(state); !ok || now != pid { // the number was another's
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGTERM, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("cannot end the keeper, process %d: %w", pid, err)
	}
	for ctx.Err() == nil {
		const slice = 100 // milliseconds: how late the end of ctx is noticed
		if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, slice); n > 0 || err != nil && !errors.Is(err, unix.EINTR) {
			return nil
		}
	}
	return context.Cause(ctx)
}
