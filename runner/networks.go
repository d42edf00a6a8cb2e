package runner

import (
	"context"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/supervisor"
	"github.com/orlop/orlop/runner/topology"
	"github.com/orlop/orlop/runner/wiring"
	"github.com/orlop/orlop/spec"
)

func (r *Runner) createNetwork(ctx context.Context, o *Order, s *planner.Step) (planner.Result, error) {
	result, err := r.Wiring().Create(ctx, &wiring.Order{Project: o.Project, Plan: o.Plan}, s)
	return result, topology.Placed(err, o.Places)
}

// Wiring changes which networks the containers are on.
func (r *Runner) Wiring() *wiring.Wiring {
	return &wiring.Wiring{Host: r, Nets: r.nets, Topology: r.topology, Log: r.log}
}

// Hold implements wiring.Host.
func (r *Runner) Hold(ctx context.Context, id string, f func(supervisor.Record) error) error {
	c := r.lookup(id)
	if c == nil {
		return nil // it was removed meanwhile
	}
	if err := c.op.Lock(ctx); err != nil {
		return err
	}
	defer c.op.Unlock()
	return f(c.snapshot())
}

// Readdress implements wiring.Host.
func (r *Runner) Readdress(id string) error {
	c := r.lookup(id)
	if err := c.noteAddresses(); err != nil {
		return err
	}
	c.route()
	return nil
}

// Rewire implements wiring.Host.
func (r *Runner) Rewire(ctx context.Context, id string, made supervisor.Metadata) error {
	return r.lookup(id).amend(ctx, made, nil)
}

// Reserve keeps the addresses that a project's file fixes for it; see
// topology.Store.
func (r *Runner) Reserve(p *spec.Project) { r.topology.Reserve(p) }

// Unreserve forgets the addresses that a project fixes.
func (r *Runner) Unreserve(project string) { r.topology.Unreserve(project) }
