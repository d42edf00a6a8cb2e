// Package wiring brings containers onto networks and takes them off, while they run:
// where a network is made anew, and where a person asks for it.
package wiring

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/network"
	"github.com/orlop/orlop/runner/supervisor"
	"github.com/orlop/orlop/runner/topology"
)

// Host has the containers.
type Host interface {
	// Containers are those of a project; "" is all of them.
	Containers(project string) []planner.Container
	// Hold calls f with a container that nobody else changes meanwhile; it does not where
	// that is gone.
	Hold(ctx context.Context, id string, f func(supervisor.Record) error) error
	// Readdress notes the addresses that a container has by now, and leads its ports there.
	// It is held.
	Readdress(id string) error
	// Rewire notes on which networks a container is to be beside those of its stack, or is
	// not to be. It is held.
	Rewire(ctx context.Context, id string, made supervisor.Metadata) error
}

// Networks has the containers' places on networks; *network.Manager is it.
type Networks interface {
	Network(name string) (network.Network, bool)
	Sandbox(id string) (network.SandboxState, bool)
	// Has says that a container has a place on a network, be it detached or not.
	Has(id, name string) bool
	Join(ctx context.Context, id string, to network.Endpoint) error
	Leave(ctx context.Context, id, name string) error
	Detach(ctx context.Context, id, name string) error
	Attach(ctx context.Context, id, name string) (moved bool, err error)
	Detached(name string) []string
}

// Topology makes and removes networks; *topology.Store is it.
type Topology interface {
	Record(name string) (topology.Record, error)
	Check(name string, rec topology.Record) error
	Ensure(ctx context.Context, name string, rec topology.Record) (network.Network, error)
	Remove(ctx context.Context, name string) error
}

// Wiring changes which networks containers are on.
type Wiring struct {
	Host     Host
	Nets     Networks
	Topology Topology
	Log      *slog.Logger
}

// Order is what the steps of a plan have in common.
type Order struct {
	Project string
	Plan    *planner.Plan
}

// isToReturn says that a step of the plan brings a container back to a network.
func (o *Order) isToReturn(network, id string) bool {
	return slices.ContainsFunc(o.Plan.Steps, func(p *planner.Step) bool {
		return p.Action == planner.AttachNetwork && p.Container == id && p.Name == network
	})
}

// Create makes a network, or makes one anew whose settings changed: who is on it runs on,
// and is brought back by steps of the plan, or here where it has none for that: who is to be
// replaced is on it until then.
func (w *Wiring) Create(ctx context.Context, o *Order, s *planner.Step) (planner.Result, error) {
	rec := topology.Record{Project: o.Project, Key: s.Resource, Applied: s.Network, Containers: s.Containers}
	if _, ok := w.Nets.Network(s.Name); ok {
		old, err := w.Topology.Record(s.Name)
		if err != nil {
			return planner.Result{}, err
		}
		if s.Renewed == nil && planner.SameNetwork(old.Applied, s.Network) {
			return planner.Result{Outcome: planner.Unchanged, Text: "made meanwhile"}, nil
		}
		if err := w.mayRenew(o, s, old); err != nil {
			return planner.Result{}, err
		}
		rec.Keep(old, planner.HasRoom(old.Subnet, s.Containers)) // unless the file wants others
		if err := w.Topology.Check(s.Name, rec); err != nil {
			return planner.Result{}, err
		}
		if err := w.dropNetwork(ctx, s.Name); err != nil {
			return planner.Result{}, w.restoreNetwork(ctx, s.Name, old, err)
		}
		n, err := w.Topology.Ensure(ctx, s.Name, rec)
		if err != nil {
			return planner.Result{}, w.restoreNetwork(ctx, s.Name, old, err)
		}
		w.returnGuests(ctx, o, s.Name)
		return planner.Result{Text: n.Subnets()}, nil
	}
	n, err := w.Topology.Ensure(ctx, s.Name, rec)
	if err != nil {
		return planner.Result{}, err
	}
	w.returnGuests(ctx, o, s.Name)
	return planner.Result{Text: n.Subnets()}, nil
}

// mayRenew says whether a network is what the plan saw, with nobody on it whom the
// plan does not know of.
func (w *Wiring) mayRenew(o *Order, s *planner.Step, old topology.Record) error {
	if s.Renewed == nil || !planner.SameNetwork(s.Renewed, old.Applied) {
		return fmt.Errorf("network %s has been changed meanwhile: run the command again", s.Name)
	}
	for _, g := range w.Guests(o.Project, s.Name) {
		if !slices.Contains(s.Guests, g) {
			return fmt.Errorf("%s has joined network %s meanwhile: run the command again", g, s.Name)
		}
	}
	return nil
}

// returnGuests brings those back to a network that are detached from it and of whom
// the plan does not know.
func (w *Wiring) returnGuests(ctx context.Context, o *Order, name string) {
	for _, id := range w.Nets.Detached(name) {
		if o.isToReturn(name, id) {
			continue
		}
		if err := w.Attach(ctx, name, id); err != nil {
			w.Log.Warn("cannot bring a container back to its network", "container", id, "network", name, "error", err)
		}
	}
}

// restoreNetwork makes a network as it was, where that failed which was to take its
// place, and brings those back that were detached from it.
func (w *Wiring) restoreNetwork(ctx context.Context, name string, old topology.Record, cause error) error {
	ctx = context.WithoutCancel(ctx)
	if _, ok := w.Nets.Network(name); !ok {
		if _, err := w.Topology.Ensure(ctx, name, old); err != nil {
			return errors.Join(cause, fmt.Errorf("network %s is gone: %w", name, err))
		}
	}
	for _, id := range w.Nets.Detached(name) {
		if err := w.Attach(ctx, name, id); err != nil {
			w.Log.Warn("cannot bring a container back to its network", "container", id, "network", name, "error", err)
		}
	}
	return cause
}

// Attach brings a container that runs back to a network that was made anew.
func (w *Wiring) Attach(ctx context.Context, network, id string) error {
	return w.Host.Hold(ctx, id, func(supervisor.Record) error {
		if _, err := w.Nets.Attach(ctx, id, network); err != nil {
			return err
		}
		return w.readdress(id) // also where it was attached before, and that not noted
	})
}

// dropNetwork removes a network that is to be made anew. Who is on it is detached, and runs on:
// who is to be replaced is stopped when its replacement is there, which may never be.
func (w *Wiring) dropNetwork(ctx context.Context, name string) error {
	for _, c := range w.Host.Containers("") {
		if !w.Nets.Has(c.ID, name) && !slices.Contains(c.Networks, name) {
			continue
		}
		if err := w.Host.Hold(ctx, c.ID, func(supervisor.Record) error { return w.Nets.Detach(ctx, c.ID, name) }); err != nil {
			return err
		}
	}
	return w.Topology.Remove(ctx, name)
}

// Guests are the containers of other projects than the given one that are on a
// network.
func (w *Wiring) Guests(project, network string) (out []planner.Guest) {
	for _, c := range w.Host.Containers("") {
		if c.Project == project {
			continue
		}
		state, ok := w.Nets.Sandbox(c.ID)
		if !ok || len(state.Of(network)) == 0 {
			continue
		}
		g := planner.Guest{Project: c.Project, Container: c.ID, Resource: fmt.Sprintf("%s/%d", c.Service, c.Number)}
		if c.OneOff {
			g.Resource = c.Name
		}
		out = append(out, g)
	}
	slices.SortFunc(out, func(a, b planner.Guest) int { return strings.Compare(a.String(), b.String()) })
	return out
}
