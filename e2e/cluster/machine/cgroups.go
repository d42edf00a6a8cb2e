package machine

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// removal is how long cgroups may stay busy once their processes are gone.
const removal = 10 * time.Second

// cgroups are those of one machine: a group of that name at the top of each hierarchy.
type cgroups struct{ name string }

// hierarchy is one that is mounted: below /sys/fs/cgroup for version 1, or there for version 2 alone.
type hierarchy struct{ path, kind, options string }

func hierarchies() (found []hierarchy, err error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		before, after, _ := strings.Cut(lines.Text(), " - ")
		is, at := strings.Fields(after), strings.Fields(before)
		if len(is) < 3 || len(at) < 5 || is[0] != "cgroup" && is[0] != "cgroup2" || !strings.HasPrefix(at[4], "/sys/fs/cgroup") {
			continue
		}
		options := strings.Split(is[2], ",")
		options = slices.DeleteFunc(options, func(o string) bool { return o == "rw" || o == "ro" || strings.HasPrefix(o, "release_agent=") })
		found = append(found, hierarchy{at[4], is[0], strings.Join(options, ",")})
	}
	if len(found) == 0 {
		return nil, errors.New("no cgroups are mounted at /sys/fs/cgroup")
	}
	return found, nil
}

// groups are the directories.
func (c cgroups) groups() (dirs []string, err error) {
	all, err := hierarchies()
	for _, h := range all {
		dirs = append(dirs, filepath.Join(h.path, c.name))
	}
	return dirs, err
}

func (c cgroups) make() error {
	dirs, err := c.groups()
	for _, dir := range dirs {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		// A cpuset takes no process before it says where.
		for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
			if from, err := os.ReadFile(filepath.Join(filepath.Dir(dir), name)); err == nil {
				if err := os.WriteFile(filepath.Join(dir, name), from, 0); err != nil {
					return err
				}
			}
		}
	}
	return err
}

// enter moves this process into the groups.
func (c cgroups) enter() error {
	dirs, err := c.groups()
	for _, dir := range dirs {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte("0"), 0); err != nil {
			return fmt.Errorf("cannot enter %s: %w", dir, err)
		}
	}
	return err
}

// remove removes the groups with all below them.
func (c cgroups) remove() error {
	dirs, err := c.groups()
	errs := []error{err}
	for _, dir := range dirs {
		errs = append(errs, removeTree(dir))
	}
	return errors.Join(errs...)
}

func removeTree(dir string) error {
	var all []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			all = append(all, path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	slices.Reverse(all)
	for _, path := range all {
		// The kernel says nothing when a group is no longer busy.
		for end := time.Now().Add(removal); ; time.Sleep(10 * time.Millisecond) {
			err = unix.Rmdir(path)
			if err == nil || errors.Is(err, unix.ENOENT) {
				err = nil
				break
			}
			if time.Now().After(end) {
				return fmt.Errorf("cannot remove %s: %w", path, err)
			}
		}
	}
	return err
}

// mountCgroups mounts the hierarchies as the machine sees them: its groups are the uppermost.
func mountCgroups() error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	if all[0].path != "/sys/fs/cgroup" {
		if err := unix.Mount("tmpfs", "/sys/fs/cgroup", "tmpfs", 0, "mode=755"); err != nil {
			return fmt.Errorf("cannot mount /sys/fs/cgroup: %w", err)
		}
	}
	for _, h := range all {
		options := h.options
		if h.kind == "cgroup2" {
			options = ""
		}
		if err := os.MkdirAll(h.path, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(h.kind, h.path, h.kind, 0, options); err != nil {
			return fmt.Errorf("cannot mount %s: %w", h.path, err)
		}
	}
	if all[0].path == "/sys/fs/cgroup" {
		return delegate()
	}
	return nil
}

// delegate moves the machine's processes out of the uppermost group of version 2, which has either processes or controllers.
func delegate() error {
	const top = "/sys/fs/cgroup"
	if err := os.Mkdir(top+"/init", 0o755); err != nil {
		return err
	}
	processes, err := os.ReadFile(top + "/cgroup.procs")
	if err != nil {
		return err
	}
	for _, pid := range strings.Fields(string(processes)) {
		if err := os.WriteFile(top+"/init/cgroup.procs", []byte(pid), 0); err != nil {
			return err
		}
	}
	controllers, err := os.ReadFile(top + "/cgroup.controllers")
	if err != nil {
		return err
	}
	for _, name := range strings.Fields(string(controllers)) {
		if err := os.WriteFile(top+"/cgroup.subtree_control", []byte("+"+name), 0); err != nil {
			return err
		}
	}
	return nil
}
