package runner

import (
	"context"
	"fmt"

	"github.com/orlop/orlop/planner"
)

// observeLosses looks whether what runs has what is on record of it: what is
// kept tells what was made, not what somebody has removed since.
func (r *Runner) observeLosses(ctx context.Context, o *planner.Observed) error {
	open, err := r.ports.Open(ctx)
	if err != nil {
		return fmt.Errorf("cannot tell which ports are published: %w", err)
	}
	for i := range o.Containers {
		k := &o.Containers[i]
		c := r.lookup(k.ID)
		if c == nil || k.State != planner.Running {
			continue
		}
		rec := c.snapshot()
		owner := portOwner(&rec)
		k.Lost = append(k.Lost, owner.Unbound(open)...)
	}
	return nil
}
