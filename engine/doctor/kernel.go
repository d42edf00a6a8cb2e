package doctor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/keeper/sctp"
	"github.com/orlop/orlop/runner/userns"
)

// capabilities that the engine can't do without, by their numbers
// (capabilities(7)).
func capabilities() map[string]uint {
	return map[string]uint{
		"CAP_CHOWN": unix.CAP_CHOWN, "CAP_DAC_OVERRIDE": unix.CAP_DAC_OVERRIDE, "CAP_FOWNER": unix.CAP_FOWNER, "CAP_KILL": unix.CAP_KILL,
		"CAP_SETGID": unix.CAP_SETGID, "CAP_SETUID": unix.CAP_SETUID, "CAP_NET_ADMIN": unix.CAP_NET_ADMIN, "CAP_SYS_ADMIN": unix.CAP_SYS_ADMIN,
		"CAP_SYS_CHROOT": unix.CAP_SYS_CHROOT, "CAP_SYS_PTRACE": unix.CAP_SYS_PTRACE, "CAP_MKNOD": unix.CAP_MKNOD,
	}
}

func (h *Host) privileges() api.Check {
	const name = "privileges"
	if uid := os.Geteuid(); uid != 0 {
		return failed(name, "run it with sudo", "the user is %d: the engine must be root", uid)
	}
	has, err := strconv.ParseUint(h.line("CapEff"), 16, 64)
	if err != nil {
		return failed(name, "mount /proc", "cannot read /proc/self/status")
	}
	var missing []string
	for word, bit := range capabilities() {
		if has&(1<<bit) == 0 {
			missing = append(missing, word)
		}
	}
	slices.Sort(missing)
	switch {
	case len(missing) > 0:
		return failed(name, "run it as root of the machine, not in a container without these", "root lacks %s", strings.Join(missing, ", "))
	case has&(1<<unix.CAP_SYS_RESOURCE) == 0:
		return warning(name, "", "root lacks CAP_SYS_RESOURCE: no limit above the hard one, and no oom_score_adj below 0, can be given to a service")
	}
	return ok(name, "root, with all capabilities that are needed")
}

// kernel tries the system calls that an older kernel lacks. Each of them came
// with Linux 5.6 or before.
func (h *Host) kernel() api.Check {
	var name unix.Utsname
	_ = unix.Uname(&name)
	release := unix.ByteSliceToString(name.Release[:])
	var missing []string
	note := func(call string, err error) {
		if errors.Is(err, unix.ENOSYS) {
			missing = append(missing, call)
		}
	}
	fd, err := unix.Openat2(unix.AT_FDCWD, "/", &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC})
	note("openat2", closed(fd, err))
	fd, err = unix.PidfdOpen(os.Getpid(), 0)
	note("pidfd_open", closed(fd, err))
	fd, err = unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLOEXEC)
	note("open_tree", closed(fd, err))
	if len(missing) > 0 {
		return failed("kernel", "use Linux 5.6 or later", "Linux %s lacks %s", release, strings.Join(missing, ", "))
	}
	return ok("kernel", "Linux %s", release)
}

func closed(fd int, err error) error {
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// namespaces makes one of each kind, on a thread that ends with it.
func (h *Host) namespaces() api.Check {
	kinds := []struct {
		name string
		flag int
	}{
		{"mount", unix.CLONE_NEWNS}, {"network", unix.CLONE_NEWNET}, {"pid", unix.CLONE_NEWPID}, {"ipc", unix.CLONE_NEWIPC},
		{"uts", unix.CLONE_NEWUTS}, {"cgroup", unix.CLONE_NEWCGROUP},
	}
	var names []string
	for _, k := range kinds {
		if err := apart(func() error { return unix.Unshare(k.flag) }); err != nil {
			return failed("namespaces", "use a kernel that has them, and allow them to root: see max_*_namespaces in /proc/sys/user", "cannot make a %s namespace: %v", k.name, err)
		}
		names = append(names, k.name)
	}
	return ok("namespaces", "%s", strings.Join(names, ", "))
}

// users tries what userns_remap of the settings needs.
func (h *Host) users() api.Check {
	const name = "users"
	if err := userns.Supported(existing(h.Root), existing(h.State)); err != nil {
		return warning(name, "", "userns_remap can't be set: %v", err)
	}
	return ok(name, "those of containers can be mapped (userns_remap)")
}

// sctp looks whether ports of it can be published; few stacks do that.
func (h *Host) sctp() api.Check {
	err := sctp.Check()
	if err != nil && h.Fix && h.modprobe("sctp") == nil {
		err = sctp.Check()
	}
	if err != nil {
		return api.Check{Name: "sctp", Result: api.CheckAbsent, Found: fmt.Sprintf("ports of it can't be published, which few stacks do: %v", err)}
	}
	return ok("sctp", "ports of it can be published")
}

// apart calls f on a thread of its own, which ends with it: what f does to its
// thread is nobody else's.
func apart(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never back
		done <- f()
	}()
	return <-done
}

func (h *Host) seccomp() api.Check {
	actions, err := os.ReadFile(filepath.Join(h.proc, "sys/kernel/seccomp/actions_avail"))
	if err != nil || !strings.Contains(string(actions), "errno") {
		return failed("seccomp", "use a kernel that is built with CONFIG_SECCOMP_FILTER", "the kernel filters no system calls: containers could make them all")
	}
	return ok("seccomp", "the kernel filters system calls")
}

// overlay mounts one, in the engine's root or where that will be.
func (h *Host) overlay() api.Check {
	return h.withModules("overlay", []string{"overlay"}, "layers can be mounted in "+existing(h.Root), func() error {
		dir, err := os.MkdirTemp(existing(h.Root), ".orlop-doctor-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		for _, d := range []string{"lower", "upper", "work", "merged"} {
			if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
				return err
			}
		}
		return apart(func() error {
			// In a mount namespace of its own, which nothing of it leaves.
			if err := errors.Join(unix.Unshare(unix.CLONE_NEWNS), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")); err != nil {
				return err
			}
			merged := filepath.Join(dir, "merged")
			options := fmt.Sprintf("lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work", dir, dir, dir)
			if err := unix.Mount("overlay", merged, "overlay", 0, options); err != nil {
				return fmt.Errorf("cannot mount an overlay in %s: %w", existing(h.Root), err)
			}
			err := os.WriteFile(filepath.Join(merged, "file"), []byte("x"), 0o600)
			return errors.Join(err, unix.Unmount(merged, 0))
		})
	})
}

// existing is the nearest directory above that is there.
func existing(dir string) string {
	for {
		if st, err := os.Stat(dir); err == nil && st.IsDir() {
			return dir
		}
		if dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}
