package keeper

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

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

// unmountState takes our tmpfs away if nothing uses it: no container, no
// namespace, no other keeper. It says whether there is none left.
func unmountState(dir string) (bool, error) {
	mounted, err := isState(dir)
	if err != nil || !mounted {
		return err == nil, err
	}
	err = unix.Unmount(dir, 0)
	if errors.Is(err, unix.EBUSY) {
		return false, nil
	}
	return err == nil, err
}

// isState says whether our tmpfs is mounted at dir.
func isState(dir string) (bool, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return false, err
	}
	defer f.Close()
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return false, err
	}
	dir = strings.NewReplacer("\\", `\134`, " ", `\040`, "\t", `\011`, "\n", `\012`).Replace(dir) // as the kernel writes it
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		// proc(5): the optional fields end with a hyphen, type and source follow.
		if at := slices.Index(fields, "-"); at > 4 && at+2 < len(fields) && fields[4] == dir && fields[at+2] == stateSource {
			return true, nil
		}
	}
	return false, lines.Err()
}
