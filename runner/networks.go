package runner

import (
	"context"
	"maps"
	"slices"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/topology"
	"github.com/orlop/orlop/spec"
)

// createNetwork makes a network, or makes one anew whose settings changed:
// its containers are replaced by later steps of the plan.
func (r *Runner) createNetwork(ctx context.Context, o *Order, s *planner.Step) (planner.Result, error) {
	if _, ok := r.nets.Network(s.Name); ok {
		if err := r.dropNetwork(ctx, o, s.Name); err != nil {
			return planner.Result{}, err
		}
	}
	n, err := r.topology.Ensure(ctx, s.Name, topology.Record{Project: o.Project, Key: s.Resource, Applied: s.Network})
	if err != nil {
		return planner.Result{}, err
	}
	return planner.Result{Text: n.Subnet.String()}, nil
}

// dropNetwork removes a network that is to be made anew. Its containers are
// stopped: nothing could reach them, and the plan replaces them.
func (r *Runner) dropNetwork(ctx context.Context, o *Order, name string) error {
	for _, p := range r.Containers("") {
		c := r.lookup(p.ID)
		if c == nil || p.Applied == nil || !slices.Contains(slices.Collect(maps.Values(p.Applied.Networks)), name) {
			continue
		}
		if err := c.op.Lock(ctx); err != nil {
			return err
		}
		err := r.stopAndDisconnect(ctx, c, o.Grace)
		c.op.Unlock()
		if err != nil {
			return err
		}
	}
	return r.topology.Remove(ctx, name)
}

// Reserve keeps the addresses that a project's file fixes for it; see
// topology.Store.
func (r *Runner) Reserve(p *spec.Project) { r.topology.Reserve(p) }

// Unreserve forgets the addresses that a project fixes.
func (r *Runner) Unreserve(project string) { r.topology.Unreserve(project) }
