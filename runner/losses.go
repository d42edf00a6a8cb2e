package runner

import (
	"context"
	"fmt"
	"sync"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/shim"
	"github.com/orlop/orlop/runner/supervisor"
)

// observeHung looks whether the parents of what runs answer: who hangs tells
// nobody of the end of a process, and ends none.
func (r *Runner) observeHung(ctx context.Context, o *planner.Observed) {
	parents := map[*shim.Shim][]int{}
	for i, k := range o.Containers {
		if c := r.lookup(k.ID); c != nil && (k.State == planner.Running || k.State == planner.Stopping) {
			if in := c.parent(); in != nil {
				parents[in] = append(parents[in], i)
			}
		}
	}
	var all sync.WaitGroup
	for in, list := range parents {
		all.Go(func() {
			if !r.shims.Hangs(ctx, in) || ctx.Err() != nil {
				return
			}
			for _, i := range list {
				o.Containers[i].Dead = "its parent, the shim, did not answer, and is killed"
			}
		})
	}
	all.Wait()
}

// parent is the shim of the container's process, nil where there is none.
func (c *container) parent() *shim.Shim {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.shim
}

// loseHung kills the parent of the container's process if that hangs, and waits
// until the loss is dealt with. The caller holds op.
func (c *container) loseHung(ctx context.Context) error {
	in := c.parent()
	c.mu.Lock()
	end := c.ending
	c.mu.Unlock()
	if in == nil || end == nil || !c.r.shims.KillHung(in) {
		return nil
	}
	return c.awaitReaped(ctx, end)
}

// observeLosses looks whether what runs has what is on record of it: what is
// kept tells what was made, not what somebody has removed since.
func (r *Runner) observeLosses(ctx context.Context, o *planner.Observed) error {
	r.observeHung(ctx, o)
	open, err := r.ports.Open(ctx)
	if err != nil {
		return fmt.Errorf("cannot tell which ports are published: %w", err)
	}
	running := map[string]supervisor.Record{}
	for _, k := range o.Containers {
		if c := r.lookup(k.ID); c != nil && k.State == planner.Running {
			running[k.ID] = c.snapshot()
		}
	}
	networks, sandboxes, err := r.nets.Faults(ctx, func(id string) bool { return running[id].ID != "" })
	if err != nil {
		return fmt.Errorf("cannot look at the networks: %w", err)
	}
	for name, n := range o.Networks {
		n.Lost = networks[name]
		o.Networks[name] = n
	}
	for i := range o.Containers {
		k := &o.Containers[i]
		rec, runs := running[k.ID]
		if !runs {
			continue
		}
		owner := portOwner(&rec)
		k.Lost = append(owner.Unbound(open), sandboxes[k.ID]...)
	}
	return nil
}
