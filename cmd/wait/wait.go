// Package wait waits for containers to end.
package wait

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/planner"
)

// Run waits until the containers of services have ended; the error has the exit code of the first that failed. With down the end of
// one is enough, and down is called then.
func Run(ctx context.Context, inv *cli.Invocation, services []string, down func(context.Context) error) error {
	w := &waiting{services: services, first: down != nil, pending: map[string]time.Time{}, last: map[string]planner.Container{}}
	w.ended = func(c *planner.Container) {
		fmt.Fprintf(inv.Stdout, "container %q exited with status code %d\n", c.Name, c.ExitCode)
	}
	err := inv.WithStack(ctx, services, func(ctx context.Context, client *api.Client, s cli.Stack) error {
		return cli.AcrossEngines(ctx, func() error { return w.follow(ctx, client, s.Name) })
	})
	if err != nil {
		return err
	}
	if down != nil {
		err = down(ctx)
	}
	if w.code != 0 {
		err = errors.Join(err, cli.Exit{Code: w.code})
	}
	return err
}

// waiting is what is waited for.
type waiting struct {
	services []string
	first    bool // the end of one is enough
	ended    func(*planner.Container)

	begun   bool                         // it is known who is waited for
	there   []planner.Container          // that the present engine has told of so far, or had when it began
	last    map[string]planner.Container // by ID, who is waited for, as it was last
	pending map[string]time.Time         // by ID, when the container was started
	code    int
}

// follow waits under one engine.
func (w *waiting) follow(ctx context.Context, client *api.Client, project string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w.there = nil
	stream, err := client.Watch(ctx, &api.ObserveRequest{Project: project})
	for err == nil {
		var m *api.ContainerChange
		if m, err = stream.Recv(); err != nil {
			break
		}
		var isOver bool
		if isOver, err = w.apply(m); isOver {
			return nil
		}
	}
	return err
}

// apply takes in a change, and says that there is nothing more to wait for.
func (w *waiting) apply(m *api.ContainerChange) (isOver bool, err error) {
	if m.Synced {
		if w.begun {
			return w.compare(), nil
		}
		return w.begin()
	}
	if m.Container == nil {
		return false, nil
	}
	c, err := m.Container.Planner()
	if err != nil || !slices.Contains(w.services, c.Service) {
		return false, err
	}
	if m.Initial || !w.begun {
		w.there = append(w.there, c)
	}
	if !w.begun {
		return false, nil
	}
	return w.look(&c, m.Removed), nil
}

// compare looks who is gone since the engine before this one.
func (w *waiting) compare() (isOver bool) {
	for id := range w.pending {
		isThere := func(c planner.Container) bool { return c.ID == id }
		if gone := w.last[id]; !slices.ContainsFunc(w.there, isThere) && w.look(&gone, true) {
			return true
		}
	}
	return false
}

// begin decides who is waited for: those that run, or all if none does.
func (w *waiting) begin() (isOver bool, err error) {
	w.begun = true
	all := len(w.there)
	w.there = slices.DeleteFunc(w.there, func(c planner.Container) bool { return c.State == planner.Created }) // nobody may ever start them
	switch {
	case len(w.there) == 0 && all > 0:
		return false, fmt.Errorf("no container of %s was ever started: \"orlop why %s\" says what it waits for", strings.Join(w.services, ", "), w.services[0])
	case len(w.there) == 0:
		return false, fmt.Errorf("%s has no container to wait for: start it with \"orlop up\"", strings.Join(w.services, ", "))
	}
	hasEnded := func(c planner.Container) bool { return !isUp(&c) }
	if !slices.ContainsFunc(w.there, func(c planner.Container) bool { return !hasEnded(c) }) {
		hasEnded = func(planner.Container) bool { return false }
	}
	chosen := slices.DeleteFunc(slices.Clone(w.there), hasEnded)
	for _, c := range chosen {
		w.pending[c.ID], w.last[c.ID] = c.StartedAt, c
	}
	for _, c := range chosen {
		if w.look(&c, false) {
			return true, nil
		}
	}
	return false, nil
}

func isUp(c *planner.Container) bool {
	return c.State == planner.Running || c.State == planner.Stopping
}

// look looks whether a container that is waited for has ended.
func (w *waiting) look(c *planner.Container, isGone bool) (isOver bool) {
	started, isPending := w.pending[c.ID]
	if !isPending {
		return false
	}
	if w.last[c.ID] = *c; !isGone && isUp(c) && !c.StartedAt.After(started) {
		return false
	}
	delete(w.pending, c.ID)
	w.ended(c)
	if w.code == 0 {
		w.code = c.ExitCode
	}
	return w.first || len(w.pending) == 0
}
