package runner

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/topology"
	"github.com/orlop/orlop/spec"
)

// createNetwork makes a network, or makes one anew whose settings changed: the
// project's containers are replaced by later steps of the plan, and those of
// others attached again, or here where the plan does not know of them.
func (r *Runner) createNetwork(ctx context.Context, o *Order, s *planner.Step) (planner.Result, error) {
	rec := topology.Record{Project: o.Project, Key: s.Resource, Applied: s.Network, Containers: s.Containers}
	if _, ok := r.nets.Network(s.Name); ok {
		old, err := r.topology.Record(s.Name)
		if err != nil {
			return planner.Result{}, err
		}
		if s.Renewed == nil && planner.SameNetwork(old.Applied, s.Network) {
			return planner.Result{Outcome: planner.Unchanged, Text: "made meanwhile"}, nil
		}
		if err := r.mayRenew(o, s, old); err != nil {
			return planner.Result{}, err
		}
		rec.Keep(old, planner.HasRoom(old.Subnet, s.Containers)) // unless the file wants others
		if err := r.topology.Check(s.Name, rec); err != nil {
			return planner.Result{}, err
		}
		if err := r.dropNetwork(ctx, o, s.Name); err != nil {
			return planner.Result{}, r.restoreNetwork(ctx, s.Name, old, err)
		}
		n, err := r.topology.Ensure(ctx, s.Name, rec)
		if err != nil {
			return planner.Result{}, r.restoreNetwork(ctx, s.Name, old, err)
		}
		r.returnGuests(ctx, o, s.Name)
		return planner.Result{Text: n.Subnets()}, nil
	}
	n, err := r.topology.Ensure(ctx, s.Name, rec)
	if err != nil {
		return planner.Result{}, err
	}
	r.returnGuests(ctx, o, s.Name)
	return planner.Result{Text: n.Subnets()}, nil
}

// mayRenew says whether a network is what the plan saw, with nobody on it whom the
// plan does not know of.
func (r *Runner) mayRenew(o *Order, s *planner.Step, old topology.Record) error {
	if s.Renewed == nil || !planner.SameNetwork(s.Renewed, old.Applied) {
		return fmt.Errorf("network %s has been changed meanwhile: run the command again", s.Name)
	}
	for _, g := range r.guests(o.Project, s.Name) {
		if !slices.Contains(s.Guests, g) {
			return fmt.Errorf("%s has joined network %s meanwhile: run the command again", g, s.Name)
		}
	}
	return nil
}

// returnGuests brings those back to a network that are detached from it and of whom
// the plan does not know.
func (r *Runner) returnGuests(ctx context.Context, o *Order, name string) {
	for _, id := range r.nets.Detached(name) {
		planned := slices.ContainsFunc(o.Plan.Steps, func(p *planner.Step) bool {
			return p.Action == planner.AttachNetwork && p.Container == id && p.Name == name
		})
		if planned {
			continue
		}
		if err := r.attachNetwork(ctx, name, id); err != nil {
			r.log.Warn("cannot bring a container back to its network", "container", id, "network", name, "error", err)
		}
	}
}

// restoreNetwork makes a network as it was, where that failed which was to take its
// place, and brings those back that were detached from it.
func (r *Runner) restoreNetwork(ctx context.Context, name string, old topology.Record, cause error) error {
	ctx = context.WithoutCancel(ctx)
	if _, ok := r.nets.Network(name); !ok {
		if _, err := r.topology.Ensure(ctx, name, old); err != nil {
			return errors.Join(cause, fmt.Errorf("network %s is gone: %w", name, err))
		}
	}
	for _, id := range r.nets.Detached(name) {
		if err := r.attachNetwork(ctx, name, id); err != nil {
			r.log.Warn("cannot bring a container back to its network", "container", id, "network", name, "error", err)
		}
	}
	return cause
}

// attachNetwork brings a container that runs back to a network that was made anew.
func (r *Runner) attachNetwork(ctx context.Context, network, id string) error {
	c := r.lookup(id)
	if c == nil {
		return nil // it was removed meanwhile
	}
	if err := c.op.Lock(ctx); err != nil {
		return err
	}
	defer c.op.Unlock()
	moved, err := r.nets.Attach(ctx, c.id, network)
	if err != nil || !moved {
		return err
	}
	if err := c.noteAddresses(); err != nil {
		return err
	}
	c.route()
	return nil
}

// dropNetwork removes a network that is to be made anew. The project's own
// containers are stopped: nothing could reach them, and the plan replaces them.
// Those of others run on, and are detached.
func (r *Runner) dropNetwork(ctx context.Context, o *Order, name string) error {
	for _, p := range r.Containers("") {
		c := r.lookup(p.ID)
		if c == nil || p.Applied == nil || !slices.Contains(slices.Collect(maps.Values(p.Applied.Networks)), name) {
			continue
		}
		if err := c.op.Lock(ctx); err != nil {
			return err
		}
		var err error
		if c.project == o.Project {
			err = r.stopAndDisconnect(ctx, c, o.Grace)
		} else {
			err = r.nets.Detach(ctx, c.id, name)
		}
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

// guests are the containers of other projects than the given one that are on a
// network.
func (r *Runner) guests(project, network string) (out []planner.Guest) {
	for _, c := range r.all() {
		if c.project == project {
			continue
		}
		state, ok := r.nets.Sandbox(c.id)
		if !ok || len(state.Of(network)) == 0 {
			continue
		}
		rec := c.snapshot()
		g := planner.Guest{Project: c.project, Container: c.id, Resource: fmt.Sprintf("%s/%d", rec.Service, rec.Number)}
		if rec.OneOff {
			g.Resource = rec.Name
		}
		out = append(out, g)
	}
	slices.SortFunc(out, func(a, b planner.Guest) int { return strings.Compare(a.String(), b.String()) })
	return out
}
