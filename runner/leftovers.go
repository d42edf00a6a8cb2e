package runner

import (
	"context"

	"github.com/orlop/orlop/runner/proc"
	"github.com/orlop/orlop/runner/stray"
)

// pipesPrefix begins the keys of containers' pipes at the keeper.
const pipesPrefix = "pipes/"

// sweep lets go of what an engine that was killed has left of processes that are
// no more: pipes that the keeper holds, cgroups.
func (r *Runner) sweep(ctx context.Context) {
	ids, err := stray.Find(ctx, r.Keeping, pipesPrefix, r.cgroups)
	if err != nil {
		r.log.Warn("cannot tell which pipes the keeper holds", "error", err)
	}
	for id := range ids {
		c := r.lookup(id)
		if c == nil {
			r.sweepOne(ctx, id)
		} else if !c.hasTask() && c.op.Lock(ctx) == nil { // its next process has the same
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
	proc.RemoveCgroups(r.cgroupOf(id))
}

// hasTask says whether a process of the container is there, be it made alone.
func (c *container) hasTask() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.task != nil
}
