package runner

import (
	"context"
	"fmt"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/supervisor"
)

// observeLosses looks whether what runs has what is on record of it: what is
// kept tells what was made, not what somebody has removed since.
func (r *Runner) observeLosses(ctx context.Context, o *planner.Observed) error {
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
