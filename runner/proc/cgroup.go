package proc

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// RemoveCgroups removes a cgroup with all below it: one in each hierarchy of cgroup
// v1, one in v2. A cgroup that is in use can't be
// removed, so there is nothing to ask first.
func RemoveCgroups(cgroup string) {
	tops, _ := filepath.Glob("/sys/fs/cgroup" + cgroup)
	more, _ := filepath.Glob("/sys/fs/cgroup/*" + cgroup)
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
