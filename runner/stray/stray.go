// Package stray finds what an engine that was killed may have left of containers'
// processes: pipes that the keeper holds, cgroups, the pipes of processes that
// joined them. Whether a process is there after all is for others to know.
package stray

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/orlop/orlop/runner/proc"
)

// Find gives the IDs of the containers that keeping, if it can tell, holds something
// of under the prefix, or that the kernel has a cgroup of below the given one. It
// gives those that it knows of besides an error.
func Find(ctx context.Context, keeping any, prefix, cgroup string) (map[string]bool, error) {
	ids := map[string]bool{}
	for _, top := range proc.Cgroups(cgroup) {
		found, _ := filepath.Glob(filepath.Join(top, strings.Repeat("[0-9a-f]", 64)))
		for _, dir := range found {
			ids[filepath.Base(dir)] = true
		}
	}
	lister, ok := keeping.(interface {
		Kept(context.Context) ([]string, error)
	})
	if !ok {
		return ids, nil
	}
	keys, err := lister.Kept(ctx)
	for _, key := range keys {
		if id, ours := strings.CutPrefix(key, prefix); ours {
			ids[id] = true
		}
	}
	return ids, err
}

// RemovePipes removes the pipes of processes that have joined a container, each in
// a directory below that of the container's own.
func RemovePipes(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			_ = os.RemoveAll(filepath.Join(dir, e.Name()))
		}
	}
}
