package runner

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/shim"
	"github.com/orlop/orlop/runner/supervisor"
)

// deadParent is why a container counts as dead that runs.
const deadParent = "its parent, the shim, did not answer, and is killed"

// recovered says that a step is for a parent that did not answer when the step was
// planned, and does by now.
func (c *container) recovered(ctx context.Context, s *planner.Step) bool {
	isFor := slices.ContainsFunc(s.Reasons, func(why planner.Reason) bool { return why.Text == deadParent })
	in := c.parent()
	return isFor && in != nil && !c.r.shims.Hangs(ctx, in)
}

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
				o.Containers[i].Dead = deadParent
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
	if in == nil || end == nil || !c.r.shims.KillHung(ctx, in) {
		return nil
	}
	return c.awaitReaped(ctx, end)
}

// ObserveLosses looks whether what runs has what is on record of it: what is
// kept tells what was made, not what somebody has removed since. It says what could
// not be looked at, which counts as it was made.
func (r *Runner) ObserveLosses(ctx context.Context, o *planner.Observed) (unknown []string) {
	running := map[string]supervisor.Record{}
	for _, k := range o.Containers {
		if c := r.lookup(k.ID); c != nil && k.State == planner.Running {
			running[k.ID] = c.snapshot()
		}
	}
	var all sync.WaitGroup
	var open map[string]bool
	var networks, sandboxes map[string][]string
	var unopened, unseen error
	all.Go(func() { r.observeHung(ctx, o) })
	all.Go(func() { open, unopened = r.ports.Open(ctx) })
	all.Go(func() {
		networks, sandboxes, unseen = r.nets.Faults(ctx, func(id string) bool { return running[id].ID != "" })
	})
	all.Wait()
	if ctx.Err() != nil {
		return nil // nobody waits for it any more
	}
	for what, err := range map[string]error{"the published ports": unopened, "the networks": unseen} {
		if err != nil {
			r.log.Warn("cannot tell whether something is lost", "of", what, "error", err)
			unknown = append(unknown, fmt.Sprintf("cannot tell whether something of %s is lost: %v", what, err))
		}
	}
	slices.Sort(unknown)
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
		k.Lost = append(sandboxes[k.ID], rec.Apart()...)
		if unopened == nil {
			owner := r.portOwner(&rec)
			k.Lost = append(owner.Unbound(open), k.Lost...)
		}
	}
	return unknown
}
