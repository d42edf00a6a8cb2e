package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/engine/boltfile"
)

// controllers of cgroups that limits of services need, and those that runc
// can't do without.
var (
	limiting = []string{"cpu", "memory", "pids"}
	legacy   = []string{"devices", "freezer"} // of version 1
)

func (h *Host) cgroups() api.Check {
	const name = "cgroups"
	const base = "/sys/fs/cgroup"
	var fs unix.Statfs_t
	if err := unix.Statfs(base, &fs); err != nil {
		return failed(name, "mount cgroups on "+base, "nothing is mounted on %s: %v", base, err)
	}
	version, have := "version 2", []string{}
	if fs.Type == unix.CGROUP2_SUPER_MAGIC {
		text, _ := os.ReadFile(filepath.Join(base, "cgroup.controllers"))
		have = strings.Fields(string(text))
	} else {
		version = "version 1"
		entries, _ := os.ReadDir(base)
		for _, e := range entries {
			have = append(have, strings.Split(e.Name(), ",")...)
		}
		for _, c := range legacy {
			if !slices.Contains(have, c) {
				return failed(name, "mount it below "+base+", or boot with cgroups of version 2", "version 1 without the controller %s: no container can be made", c)
			}
		}
	}
	var missing []string
	for _, c := range limiting {
		if !slices.Contains(have, c) {
			missing = append(missing, c)
		}
	}
	if err := tryGroup(base, version == "version 1"); err != nil {
		return failed(name, "mount "+base+" so that it can be written", "cannot make a cgroup: %v", err)
	}
	if len(missing) > 0 {
		return warning(name, "turn them on: for memory, boot with cgroup_enable=memory", "%s without %s: such limits can't be given", version, strings.Join(missing, ", "))
	}
	return ok(name, "%s: %s", version, strings.Join(limiting, ", "))
}

func tryGroup(base string, legacy bool) error {
	if legacy {
		base = filepath.Join(base, "devices")
	}
	dir := filepath.Join(base, fmt.Sprintf("orlop-doctor-%d", os.Getpid()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	return os.Remove(dir)
}

const (
	mega = 1 << 20
	giga = 1 << 30
)

func (h *Host) rootDisk() api.Check {
	const name = "disk"
	dir := existing(h.Root)
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return failed(name, "choose another directory with ORLOP_ROOT", "cannot look at %s: %v", dir, err)
	}
	free, all := fs.Bavail*uint64(fs.Bsize), fs.Blocks*uint64(fs.Bsize)
	cure := "make room, or choose another directory with ORLOP_ROOT"
	switch {
	case fs.Type == unix.NFS_SUPER_MAGIC:
		return failed(name, "choose a local disk with ORLOP_ROOT", "%s is on NFS, which keeps no layers of images", dir)
	case fs.Type == unix.OVERLAYFS_SUPER_MAGIC:
		return warning(name, "mount a volume on it, or choose another directory with ORLOP_ROOT", "%s is on an overlay itself: layers may not be mountable", dir)
	case fs.Flags&unix.ST_RDONLY != 0:
		return failed(name, cure, "%s is read-only", dir)
	case free < 100*mega:
		return failed(name, cure, "%s has %d MB left", dir, free/mega)
	case fs.Files > 0 && fs.Ffree < fs.Files/50:
		return warning(name, cure, "%s has room for %d more files only", dir, fs.Ffree)
	case all > 0 && free < all/10 && free < 10*giga:
		return warning(name, cure, "%s has %d MB left of %d MB", dir, free/mega, all/mega)
	}
	return ok(name, "%s has %.1f GB left", dir, float64(free)/giga)
}

// setAside looks for damaged databases, which may be large, and hold what containers had in
// their environments. Nobody but their owner removes them before their time: what was lost
// may be found in them.
func (h *Host) setAside() api.Check {
	const name = "databases"
	list := boltfile.Asides(h.Root)
	if len(list) == 0 {
		return ok(name, "none was set aside")
	}
	return warning(name, "they go a week after they were set aside; remove them if you need nothing of what was lost",
		"damaged ones were set aside, with values of environments: %s", strings.Join(list, ", "))
}

func (h *Host) stateDisk() api.Check {
	const name = "state"
	dir := existing(h.State)
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return failed(name, "choose another directory with ORLOP_STATE", "cannot look at %s: %v", dir, err)
	}
	free := fs.Bavail * uint64(fs.Bsize)
	switch {
	case fs.Flags&unix.ST_RDONLY != 0:
		return failed(name, "choose another directory with ORLOP_STATE", "%s is read-only", dir)
	case free < 16*mega:
		return failed(name, "make room, or choose another directory with ORLOP_STATE", "%s has %d MB left", dir, free/mega)
	}
	return ok(name, "%s has %d MB left", dir, free/mega)
}

// The least that a machine with some stacks gets along with.
const (
	fewDescriptors = 65_536
	fewWatches     = 100_000
	fewInstances   = 128
)

func (h *Host) descriptors() api.Check {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return failed("descriptors", "", "cannot read the limit: %v", err)
	}
	if l.Max < fewDescriptors && unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: l.Cur, Max: fewDescriptors}) != nil {
		return warning("descriptors", "raise it where this machine, or the container that it is, is started",
			"a process may open %d files, and root may not raise that: enough for some %d containers", l.Max, l.Max/16)
	}
	if l.Max < fewDescriptors {
		_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &l) // tried only
		return warning("descriptors", fmt.Sprintf("run \"ulimit -Hn %d\" before the engine is started, or set LimitNOFILE of its unit", fewDescriptors),
			"a process may open %d files: enough for some %d containers", l.Max, l.Max/16)
	}
	return ok("descriptors", "a process may open %d files", l.Max)
}

func (h *Host) watches() api.Check {
	const name = "watches"
	limits := []struct {
		setting string
		least   int
	}{{"fs/inotify/max_user_watches", fewWatches}, {"fs/inotify/max_user_instances", fewInstances}}
	var found, cures []string
	fixed := false
	for _, l := range limits {
		n, err := h.setting(l.setting)
		if err != nil {
			return failed(name, "use a kernel with inotify", "cannot read the limit: %v", err)
		}
		word := strings.ReplaceAll(l.setting, "/", ".")
		if n < l.least && h.Fix && os.WriteFile(filepath.Join(h.proc, "sys", l.setting), fmt.Append(nil, l.least), 0o644) == nil {
			n, fixed = l.least, true
		}
		if n < l.least {
			cures = append(cures, fmt.Sprintf("%s=%d", word, l.least))
		}
		found = append(found, fmt.Sprintf("%s is %d", word, n))
	}
	if len(cures) > 0 {
		return warning(name, "run \"sysctl "+strings.Join(cures, " ")+"\", and put it into /etc/sysctl.d/orlop.conf", "%s: large trees are watched by comparing", strings.Join(found, ", "))
	}
	c := ok(name, "%s", strings.Join(found, ", "))
	c.Fixed = fixed
	return c
}

func (h *Host) programs() api.Check {
	var missing []string
	for _, p := range []string{"orlopd", "orlop-engine", "orlop-shim", "containerd-shim-runc-v2", "orlop-exec", "runc"} {
		if st, err := os.Stat(filepath.Join(h.Libexec, p)); err != nil || st.Mode()&0o111 == 0 {
			missing = append(missing, p)
		}
	}
	cure := "install Orlop again, or run \"make build\""
	if len(missing) > 0 {
		return failed("programs", cure, "%s: not in %s, or not executable", strings.Join(missing, ", "), h.Libexec)
	}
	version, err := h.Runc(filepath.Join(h.Libexec, "runc"))
	if err != nil {
		return failed("programs", cure, "%v", err)
	}
	return ok("programs", "runc %s, in %s", version, h.Libexec)
}
