package shim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/orlop/orlop/runner/proc"
)

// Unknown ends the tasks of containers that nobody knows any more, as
// containerd's metadata has none of them: they would run on unmanaged, and
// containerd would forget of them what it has. It is used before containerd is
// started.
type Unknown struct {
	Dir     string // a directory for each shim
	Bundles string // containerd's directory of tasks in our namespace
	Runc    string // path of runc
	State   string // where runc keeps its state of our namespace
	Cgroup  string // the parent of all containers' cgroups
	Known   func(id string) bool
	Log     *slog.Logger
}

// End ends them and gives the projects of those that it found, and of how many
// containers there was something.
func (u *Unknown) End(ctx context.Context) (projects []string, count int) {
	ids := u.find()
	if len(ids) == 0 {
		return nil, 0
	}
	projects = u.endShims(ids)
	for id := range ids {
		if err := u.remove(ctx, id); err != nil {
			u.Log.Warn("cannot remove what is left of a container that nobody knows", "container", id, "error", err)
		}
	}
	slices.Sort(projects)
	return slices.Compact(projects), len(ids)
}

// find gives the IDs of containers that have a bundle, a cgroup or a note of
// runc, and are not known.
func (u *Unknown) find() map[string]bool {
	ids := map[string]bool{}
	places := []string{filepath.Join(u.Bundles, "*"), filepath.Join(u.State, "*")}
	for _, top := range proc.Cgroups(u.Cgroup) {
		places = append(places, filepath.Join(top, "*"))
	}
	for _, place := range places {
		found, _ := filepath.Glob(place)
		for _, path := range found {
			if id := filepath.Base(path); isID(id) && !u.Known(id) {
				ids[id] = true
			}
		}
	}
	return ids
}

// isID says that a name is that of a container of ours: 64 hexadecimal digits.
func isID(name string) bool {
	return len(name) == 64 && strings.Trim(name, "0123456789abcdef") == ""
}

// endShims kills the shims that have no known container, and gives the projects
// of those that have one of the unknown.
func (u *Unknown) endShims(ids map[string]bool) (projects []string) {
	known, lost := map[string]bool{}, map[string]bool{} // by the shim's address
	bundles, _ := filepath.Glob(filepath.Join(u.Bundles, "*"))
	for _, bundle := range bundles {
		if address, err := addressOf(bundle); err == nil {
			if ids[filepath.Base(bundle)] {
				lost[address] = true
			} else {
				known[address] = true
			}
		}
	}
	dirs, _ := filepath.Glob(filepath.Join(u.Dir, "*"))
	for _, dir := range dirs {
		var file document
		if doc, err := os.ReadFile(filepath.Join(dir, "shim.json")); err != nil || json.Unmarshal(doc, &file) != nil || !lost[file.Address] {
			continue
		}
		projects = append(projects, file.Project)
		if !known[file.Address] {
			kill(filepath.Base(dir))
			_ = os.RemoveAll(dir)
			_ = os.Remove(strings.TrimPrefix(file.Address, "unix://"))
		}
	}
	return projects
}

// remove ends the processes of a container, and removes what containerd and
// runc keep of it.
func (u *Unknown) remove(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	cgroup := u.Cgroup + "/" + id
	errs := []error{proc.KillAll(ctx, cgroup)}
	if _, err := os.Stat(filepath.Join(u.State, id)); err == nil {
		runtime := runtimeOf(filepath.Join(u.Bundles, id), u.Runc)
		out, err := exec.CommandContext(ctx, runtime, "--root", u.State, "delete", "--force", id).CombinedOutput()
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w: %s", runtime, err, out))
		}
	}
	proc.RemoveCgroups(cgroup)
	return errors.Join(append(errs, removeBundle(filepath.Join(u.Bundles, id)))...)
}
