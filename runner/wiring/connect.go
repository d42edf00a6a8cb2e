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
		if w.Nets.Has(id, name) { // what was cut off has left it, and nothing on record
			if err := w.Nets.Leave(ctx, id, name); err != nil {
				return err
			}
		}
		if what == nil && slices.Contains(rec.Left, name) {
			what = declared(rec.Applied, name)
		} else {
			rec.Joined = maps.Clone(rec.Joined)
			if rec.Joined == nil {
				rec.Joined = map[string]*spec.ServiceNetwork{}
			}
			rec.Joined[name] = what
		}
		rec.Left = without(rec.Left, name)
		if err := w.join(ctx, rec, name, what); err != nil {
			return err
		}
		return w.note(ctx, rec)
	})
}

// Disconnect takes a container off a network, for good: but an up brings it back to those of
// its stack.
func (w *Wiring) Disconnect(ctx context.Context, id, name string) error {
	return w.change(ctx, id, func(rec *supervisor.Record) error {
		if !slices.Contains(rec.NetworkNames(), name) {
			return fmt.Errorf("container %s is not on network %s", rec.Name, name)
		}
		was := *rec
		rec.Joined = maps.Clone(rec.Joined)
		delete(rec.Joined, name)
		for _, of := range rec.Applied.Networks {
			if of == name {
				rec.Left = append(slices.Clone(rec.Left), name)
			}
		}
		// On record first: an up tells of what is cut off here, and brings it back.
		if err := w.Host.Rewire(ctx, id, rec.Metadata); err != nil {
			return err
		}
		if w.Nets.Has(id, name) {
			if err := w.Nets.Leave(ctx, id, name); err != nil {
				return errors.Join(err, w.Host.Rewire(ctx, id, was.Metadata))
			}
		}
		return w.readdress(id)
	})
}

// Return brings a container back to the networks of its stack that it was taken off. It
// is held.
func (w *Wiring) Return(ctx context.Context, rec supervisor.Record) error {
	for _, name := range rec.Left {
		var err error
		if w.Nets.Has(rec.ID, name) { // what was cut off had not taken it off yet, or had brought it back
			_, err = w.Nets.Attach(ctx, rec.ID, name)
		} else {
			err = w.join(ctx, &rec, name, declared(rec.Applied, name))
		}
		if err != nil {
			return err
		}
		rec.Left = without(rec.Left, name)
		if err := w.note(ctx, &rec); err != nil { // each by itself: the next may fail
			return err
		}
	}
	return nil
}

// change holds a container and changes which networks it is on.
func (w *Wiring) change(ctx context.Context, id string, f func(rec *supervisor.Record) error) error {
	isThere := false
	err := w.Host.Hold(ctx, id, func(rec supervisor.Record) error {
		isThere = true
		if mode := rec.Applied.Service.NetworkMode; mode != "" {
			return fmt.Errorf("container %s has network_mode %s: it is on no network that it could be taken off or brought to", rec.Name, mode)
		}
		return f(&rec)
	})
	if err == nil && !isThere {
		return errors.New("the container is gone")
	}
	return err
}

// note puts on record which networks a container is on.
func (w *Wiring) note(ctx context.Context, rec *supervisor.Record) error {
	if err := w.Host.Rewire(ctx, rec.ID, rec.Metadata); err != nil {
		return err
	}
	return w.readdress(rec.ID)
}

func (w *Wiring) readdress(id string) error {
	if _, ok := w.Nets.Sandbox(id); !ok {
		return nil // it gets one when it starts
	}
	return w.Host.Readdress(id)
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
