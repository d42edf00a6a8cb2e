package keeper

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The state directory holds what must not outlive a reboot: sockets, pipes,
// namespaces, the runtime's notes. Where /run is a tmpfs that is so by itself.
// In a container or a small virtual machine it is a part of the disk; then the
// directory becomes a tmpfs of its own, which spares each container that starts
// some fifty files on the disk, and the sync of the database next to them.

// stateSource tells our tmpfs from other people's in the table of mounts.
const stateSource = "orlop-state"

// mountState makes the state directory a tmpfs unless it is on one, or in use.
// One that can't be mounted costs time and nothing else, so it is no error.
func mountState(dir string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return err
	}
	if st.Type == unix.TMPFS_MAGIC || st.Type == unix.RAMFS_MAGIC {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 0 {
		return err
	}
	_ = unix.Mount(stateSource, dir, "tmpfs", unix.MS_NODEV|unix.MS_NOSUID, "mode=0700")
	return nil
}

// leaveState lets go of the keeper's lock, and takes our tmpfs away if nothing
// needs it: what runs outlives the keeper, and its state with it, and whoever
// is just starting the next one has looked at it already.
func leaveState(root, state string, lock *os.File) error {
	start, err := os.OpenFile(filepath.Join(root, startLockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		lock.Close()
		return err
	}
	defer start.Close()
	err = unix.Flock(int(start.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	lock.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil
	}
	if err == nil {
		_, err = unmountState(state)
	}
	return err
}

// leaveTime is how long processes that end with the last container are waited
// for: the shim of a container that was just removed, a runtime's last words.
const leaveTime = 5 * time.Second

// unmountState takes our tmpfs away if nothing uses it: no container, no
// namespace, no other keeper. It says whether there is none left. What is there
// without a need for it is waited for, and named if it stays.
func unmountState(dir string) (bool, error) {
	mounts, err := mountsAt(dir)
	if err != nil || len(mounts) == 0 || mounts[0] != stateSource {
		return err == nil, err
	}
	needed := len(mounts) > 1 || hasBundles(dir)
	for deadline := time.Now().Add(leaveTime); ; {
		err := unix.Unmount(dir, 0)
		if !errors.Is(err, unix.EBUSY) {
			return err == nil, err
		}
		if needed {
			return false, nil
		}
		users := usersOf(dir)
		if !awaitOne(users, time.Until(deadline)) {
			return false, fmt.Errorf("in use by %s", orUnknown(users))
		}
	}
}

// hasBundles says that containers live in the state directory.
func hasBundles(dir string) bool {
	bundles, _ := filepath.Glob(filepath.Join(dir, "containerd/io.containerd.runtime.v2.task/*/*"))
	return len(bundles) > 0
}

// usersOf are the other processes that have a directory or a file of dir's file
// system open.
func usersOf(dir string) []int {
	var st unix.Stat_t
	if unix.Stat(dir, &st) != nil {
		return nil
	}
	var pids []int
	procs, _ := filepath.Glob("/proc/[0-9]*")
	for _, proc := range procs {
		pid, err := strconv.Atoi(filepath.Base(proc))
		if err != nil || pid == os.Getpid() {
			continue
		}
		fds, _ := filepath.Glob(proc + "/fd/*")
		if slices.ContainsFunc(append(fds, proc+"/cwd", proc+"/root"), func(path string) bool {
			var of unix.Statx_t // no server is asked
			return unix.Statx(unix.AT_FDCWD, path, unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE, &of) == nil && unix.Mkdev(of.Dev_major, of.Dev_minor) == st.Dev
		}) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// awaitOne waits until one of the processes has ended, or for a moment if none
// is known: a socket between two calls names nobody. It says no when the time is
// over.
func awaitOne(pids []int, left time.Duration) bool {
	if left <= 0 {
		return false
	}
	var ends []unix.PollFd
	for _, pid := range pids {
		fd, err := unix.PidfdOpen(pid, 0)
		if errors.Is(err, unix.ESRCH) {
			return true // it has ended by now
		}
		if err != nil {
			continue
		}
		defer unix.Close(fd)
		ends = append(ends, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	if len(ends) == 0 {
		left = min(left, 10*time.Millisecond)
	}
	_, _ = unix.Poll(ends, int(left.Milliseconds())+1)
	return true
}

// orUnknown names processes for a message.
func orUnknown(pids []int) string {
	if len(pids) == 0 {
		return "a process that has no file open in it"
	}
	names := make([]string, len(pids))
	for i, pid := range pids {
		comm, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
		names[i] = fmt.Sprintf("process %d (%s)", pid, strings.TrimSpace(string(comm)))
	}
	return strings.Join(names, ", ")
}

// mountsAt are the sources of the mounts at dir and below it, the one at dir
// first; none if nothing is mounted at dir.
func mountsAt(dir string) ([]string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, err
	}
	dir = strings.NewReplacer("\\", `\134`, " ", `\040`, "\t", `\011`, "\n", `\012`).Replace(dir) // as the kernel writes it
	var at, below []string
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		// proc(5): the optional fields end with a hyphen, type and source follow.
		end := slices.Index(fields, "-")
		if end <= 4 || end+2 >= len(fields) {
			continue
		}
		switch path := fields[4]; {
		case path == dir:
			at = []string{fields[end+2]} // the last one covers those before
		case strings.HasPrefix(path, dir+"/"):
			below = append(below, fields[end+2])
		}
	}
	if len(at) == 0 {
		return nil, lines.Err()
	}
	return append(at, below...), lines.Err()
}
