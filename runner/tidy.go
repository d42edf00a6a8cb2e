package runner

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Tidy removes what belongs to no single container once none is left: the
// cgroups above theirs, sockets that shims forgot, and runc's directory.
func (r *Runner) Tidy() {
	r.mu.Lock()
	left := len(r.containers)
	r.mu.Unlock()
	if left == 0 {
		r.tidyCgroups()
		r.shims.Tidy()
	}
}

// tidyCgroups removes the cgroups above those of the containers: one in each
// hierarchy of cgroup v1, one in v2. A cgroup that is in use can't be
// removed, so there is nothing to ask first.
func (r *Runner) tidyCgroups() {
	tops, _ := filepath.Glob("/sys/fs/cgroup" + r.cgroups)
	more, _ := filepath.Glob("/sys/fs/cgroup/*" + r.cgroups)
	for _, top := range append(tops, more...) {
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
