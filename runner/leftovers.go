package runner

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/orlop/orlop/runner/proc"
)

// pipesPrefix begins the keys of containers' pipes at the keeper.
const pipesPrefix = "pipes/"

// removeStrayProbes removes the pipes of processes that joined containers for an
// engine before this one: nobody reads them any more.
func (r *Runner) removeStrayProbes() {
	dirs, _ := filepath.Glob(filepath.Join(r.fifoDir("*"), "*"))
	for _, dir := range dirs {
		if info, err := os.Lstat(dir); err == nil && info.IsDir() {
			_ = os.RemoveAll(dir)
		}
	}
}

// sweep lets go of what an engine that was killed has left of processes that are
// no more: pipes that the keeper holds, cgroups.
func (r *Runner) sweep(ctx context.Context) {
	for id := range r.strays(ctx) {
		c := r.lookup(id)
		if c == nil {
			r.sweepOne(ctx, id)
		} else if c.op.Lock(ctx) == nil { // its next process has the same
			if !c.hasTask() {
				r.sweepOne(ctx, id)
			}
			c.op.Unlock()
		}
	}
}

func (r *Runner) sweepOne(ctx context.Context, id string) {
	if err := r.Keeping.Drop(ctx, pipesPrefix+id); err != nil && ctx.Err() == nil {
		r.log.Warn("cannot let go of the pipes of a container", "container", id, "error", err)
	}
	proc.RemoveCgroups(r.cgroups + "/" + id)
}

// hasTask says whether a process of the container is there, be it made alone.
func (c *container) hasTask() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.task != nil
}

// strays are the IDs of containers without a process that the keeper holds pipes of,
// or the kernel a cgroup.
func (r *Runner) strays(ctx context.Context) map[string]bool {
	ids := map[string]bool{}
	if lister, ok := r.Keeping.(interface {
		Kept(context.Context) ([]string, error)
	}); ok {
		keys, err := lister.Kept(ctx)
		if err != nil {
			r.log.Warn("cannot tell which pipes the keeper holds", "error", err)
		}
		for _, key := range keys {
			if id, ours := strings.CutPrefix(key, pipesPrefix); ours {
				ids[id] = true
			}
		}
	}
	for _, top := range proc.Cgroups(r.cgroups) {
		found, _ := filepath.Glob(filepath.Join(top, strings.Repeat("[0-9a-f]", 64)))
		for _, dir := range found {
			ids[filepath.Base(dir)] = true
		}
	}
	for id := range ids {
		if c := r.lookup(id); c != nil && c.hasTask() {
			delete(ids, id)
		}
	}
	return ids
}
