package runner

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// procStatus reads one field of /proc/PID/status.
func procStatus(pid int, field string) (string, error) {
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

// ownCaps is the engine's own bounding set as a mask.
var ownCaps = sync.OnceValue(func() uint64 {
	text, err := procStatus(os.Getpid(), "CapBnd")
	if err != nil {
		return 0
	}
	mask, _ := strconv.ParseUint(text, 16, 64)
	return mask
})

var capNumbers = []string{
	"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
	"LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
	"SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
	"SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
	"MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
	"CHECKPOINT_RESTORE",
}

// allCaps are the capabilities that the engine has itself and so can give.
var allCaps = sync.OnceValue(func() []string {
	var caps []string
	for i, name := range capNumbers {
		if ownCaps()&(1<<i) != 0 {
			caps = append(caps, "CAP_"+name)
		}
	}
	return caps
})

// mayRaiseLimits says whether hard limits may be raised (CAP_SYS_RESOURCE).
func mayRaiseLimits() bool { return ownCaps()&(1<<unix.CAP_SYS_RESOURCE) != 0 }

// privilege gives a container the host's devices and takes the masks off.
func privilege(doc *specs.Spec) error {
	doc.Linux.Resources.Devices = []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}
	return filepath.WalkDir("/dev", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if d.IsDir() {
			switch path {
			case "/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/fd":
				return fs.SkipDir
			}
			return nil
		}
		var st unix.Stat_t
		if path == "/dev/console" || path == "/dev/ptmx" || unix.Lstat(path, &st) != nil {
			return nil
		}
		kind := map[uint32]string{unix.S_IFCHR: "c", unix.S_IFBLK: "b"}[st.Mode&unix.S_IFMT]
		if kind == "" {
			return nil
		}
		mode := fs.FileMode(st.Mode & 0o7777)
		doc.Linux.Devices = append(doc.Linux.Devices, specs.LinuxDevice{
			Path: path, Type: kind, Major: int64(unix.Major(st.Rdev)), Minor: int64(unix.Minor(st.Rdev)),
			FileMode: &mode, UID: &st.Uid, GID: &st.Gid,
		})
		return nil
	})
}

// ignoresSignal says that sending the signal to a first process would change
// nothing: the kernel drops a signal that the first process of a pid namespace
// neither handles nor blocks (pid_namespaces(7)).
func ignoresSignal(pid int, signal unix.Signal) bool {
	if signal == unix.SIGKILL || signal == unix.SIGSTOP {
		return false
	}
	for _, field := range []string{"SigCgt", "SigBlk"} {
		text, err := procStatus(pid, field)
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

// isBeforeExec says that a container's first process is still runc's, which
// is about to become the program: a signal would be lost with it.
func isBeforeExec(pid int) bool {
	exe, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/exe")
	if err != nil {
		return false
	}
	exe = strings.TrimSuffix(exe, " (deleted)")
	return strings.HasPrefix(exe, "/memfd:runc_cloned") || filepath.Base(exe) == "runc"
}

// childless is closed once a process has no children that live: their work may
// be worth the grace period even where the process itself can't be told.
func childless(ctx context.Context, pid int) <-chan struct{} {
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
		if state, err := procStatus(child, "State"); err == nil && !strings.HasPrefix(state, "Z") {
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
