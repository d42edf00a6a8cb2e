package wiring

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/assembly"
	"github.com/orlop/orlop/runner/supervisor"
	"github.com/orlop/orlop/spec"
)

// Connect brings a container onto a network beside those of its stack, or back to one of
// them: now if it runs, and whenever it runs again. what asks for addresses and names
// there; it may be nil.
func (w *Wiring) Connect(ctx context.Context, id, name string, what *spec.ServiceNetwork) error {
	if _, ok := w.Nets.Network(name); !ok {
		return fmt.Errorf("no network named %q: \"orlop network ls\" lists them", name)
	}
	return w.change(ctx, id, func(rec *supervisor.Record) error {
		if slices.Contains(rec.NetworkNames(), name) {
			return fmt.Errorf("container %s is on network %s already", rec.Name, name)
		}
		if what == nil && slices.Contains(rec.Left, name) {
			what = declared(rec.Applied, name)
			rec.Left = without(rec.Left, name)
		} else {
			rec.Joined = maps.Clone(rec.Joined)
			if rec.Joined == nil {
				rec.Joined = map[string]*spec.ServiceNetwork{}
			}
			rec.Joined[name] = what
		}
		return w.join(ctx, rec, name, what)
	})
}

// Disconnect takes a container off a network, for good: but an up brings it back to those of
// its stack.
func (w *Wiring) Disconnect(ctx context.Context, id, name string) error {
	return w.change(ctx, id, func(rec *supervisor.Record) error {
		switch _, isJoined := rec.Joined[name]; {
		case !slices.Contains(rec.NetworkNames(), name):
			return fmt.Errorf("container %s is not on network %s", rec.Name, name)
		case isJoined:
			rec.Joined = maps.Clone(rec.Joined)
			delete(rec.Joined, name)
		default:
			rec.Left = append(slices.Clone(rec.Left), name)
		}
		if state, ok := w.Nets.Sandbox(id); !ok || len(state.Of(name)) == 0 {
			return nil
		}
		return w.Nets.Leave(ctx, id, name)
	})
}

// Return brings a container back to the networks of its stack that it was taken off. It
// is held.
func (w *Wiring) Return(ctx context.Context, rec supervisor.Record) error {
	if len(rec.Left) == 0 {
		return nil
	}
	for _, name := range rec.Left {
		if err := w.join(ctx, &rec, name, declared(rec.Applied, name)); err != nil {
			return err
		}
	}
	rec.Left = nil
	return w.note(ctx, &rec)
}

// change changes which networks a container is on, and puts that on record.
func (w *Wiring) change(ctx context.Context, id string, f func(rec *supervisor.Record) error) error {
	isThere := false
	err := w.Host.Hold(ctx, id, func(rec supervisor.Record) error {
		isThere = true
		if mode := rec.Applied.Service.NetworkMode; mode != "" {
			return fmt.Errorf("container %s has network_mode %s: it is on no network that it could be taken off or brought to", rec.Name, mode)
		}
		if err := f(&rec); err != nil {
			return err
		}
		return w.note(ctx, &rec)
	})
	if err == nil && !isThere {
		return errors.New("the container is gone")
	}
	return err
}

func (w *Wiring) note(ctx context.Context, rec *supervisor.Record) error {
	if err := w.Host.Rewire(ctx, rec.ID, rec.Metadata); err != nil {
		return err
	}
	if _, ok := w.Nets.Sandbox(rec.ID); !ok {
		return nil // it gets one when it starts
	}
	return w.Host.Readdress(rec.ID)
}

func (w *Wiring) join(ctx context.Context, rec *supervisor.Record, name string, what *spec.ServiceNetwork) error {
	e, err := assembly.Member(rec).Endpoint(name, what)
	if err != nil {
		return fmt.Errorf("network %s: %w", name, err)
	}
	if _, ok := w.Nets.Sandbox(rec.ID); !ok {
		return nil
	}
	return w.Nets.Join(ctx, rec.ID, e)
}

// declared is what a service asks for on a network of its stack.
func declared(a *planner.Applied, name string) *spec.ServiceNetwork {
	for key, of := range a.Networks {
		if of == name {
			return a.Service.Networks[key]
		}
	}
	return nil
}

func without(list []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(other string) bool { return other == name })
}
