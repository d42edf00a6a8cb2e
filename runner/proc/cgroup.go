package proc

import (
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

// Cgroups are the directories of a cgroup: one in each hierarchy of cgroup v1,
// one in v2.
func Cgroups(cgroup string) []string {
	var found []string
	hierarchies, _ := os.ReadDir(cgroupDir)
	for _, dir := range append([]string{""}, names(hierarchies)...) {
		path := filepath.Join(cgroupDir, dir) + cgroup
		if unix.Access(path, unix.F_OK) == nil {
			found = append(found, path)
		}
	}
	return found
}

const cgroupDir = "/sys/fs/cgroup"

func names(entries []os.DirEntry) []string {
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// KillAll kills all processes of a cgroup and of those below it, and waits until
// they have ended.
func KillAll(ctx context.Context, cgroup string) error {
	if !thaw(cgroup) {
		return nil // there is none
	}
	for ctx.Err() == nil {
		left := false
		for _, p := range Processes(cgroup) {
			if strings.HasPrefix(State(p.PID), "Z") {
				continue // it has ended, and waits for its parent
			}
			left = true
			if err := killMember(ctx, p.PID, cgroup); err != nil {
				return err
			}
		}
		if !left {
			return nil
		}
	}
	return fmt.Errorf("the processes of cgroup %s do not end: %w", cgroup, context.Cause(ctx))
}

// thaw lets the processes of a cgroup go on if they were paused: a signal would
// wait for that. It says whether there is such a cgroup.
func thaw(cgroup string) bool {
	all := Cgroups(cgroup)
	for _, dir := range all {
		for name, word := range map[string]string{"freezer.state": "THAWED", "cgroup.freeze": "0"} {
			path := filepath.Join(dir, name)
			if _, err := os.Stat(path); err == nil {
				_ = os.WriteFile(path, []byte(word), 0) // the kill tells if it does not help
			}
		}
	}
	return len(all) > 0
}

// killMember kills a process that is still in a cgroup: its number may be
// another's by now.
func killMember(ctx context.Context, pid int, cgroup string) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil // it is gone
	}
	defer unix.Close(fd)
	groups, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil || !strings.Contains(string(groups), cgroup) {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("cannot kill process %d of cgroup %s: %w", pid, cgroup, err)
	}
	awaitProcess(ctx, pid)
	return nil
}

// RemoveCgroups removes a cgroup with all below it: one in each hierarchy of cgroup
// v1, one in v2. A cgroup that is in use can't be
// removed, so there is nothing to ask first.
func RemoveCgroups(cgroup string) {
	for _, top := range Cgroups(cgroup) {
		var dirs []string
		_ = filepath.WalkDir(top, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		slices.SortFunc(dirs, func(a, b string) int { return strings.Count(b, "/") - strings.Count(a, "/") })
		for _, dir := range dirs {
			_ = os.Remove(dir)
		}
	}
}
