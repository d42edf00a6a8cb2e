package runner

import (
	"context"
	"errors"
	"fmt"

	"github.com/orlop/orlop/failpoint"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/assembly"
	"github.com/orlop/orlop/runner/complaint"
	"github.com/orlop/orlop/runner/supervisor"
)

// replace puts a new container in an old one's place. The old one runs until
// the new one can start; if that fails, the old one is what is left. What is
// begun is finished; only the wait for one that is to be ready first ends with
// the context, and the old one is what is left then, too.
func (r *Runner) replace(waits context.Context, o *Order, s *planner.Step, note func(planner.Event)) (planner.Result, error) {
	old := r.lookup(s.Container)
	if old == nil {
		return r.up(waits, o, s, note)
	}
	if err := old.op.Lock(waits); err != nil {
		return planner.Result{}, err
	}
	defer old.op.Unlock()
	wasUp := old.isRunning()
	if s.Overlap && wasUp && !hasFixedAddress(s.Applied) && !s.NoStart {
		return r.overlap(waits, o, s, old, note)
	}
	result, err := r.follow(waits, o, s, old, wasUp, note)
	if err != nil && wasUp && old.isRunning() {
		err = &staysError{err}
	}
	return result, err
}

// staysError is why a container was not replaced, where the one that was to be
// goes on as before.
type staysError struct{ error }

func (e *staysError) Error() string { return e.error.Error() + "; the old container stays" }
func (e *staysError) Unwrap() error { return e.error }

// follow puts a new container in the place of one that stops first.
func (r *Runner) follow(waits context.Context, o *Order, s *planner.Step, old *container, wasUp bool, note func(planner.Event)) (planner.Result, error) {
	ctx, fixed := context.WithoutCancel(waits), hasFixedAddress(s.Applied)
	if fixed {
		old.unroute(!s.NoStart)
		old.setYields(true)
		old.drainTraffic(ctx, o.Grace)
		if err := r.stopAndDisconnect(ctx, old, o.Grace); err != nil {
			return planner.Result{}, r.revive(ctx, old, wasUp, err)
		}
	}
	c, err := r.create(ctx, o.request(s, note))
	if err != nil {
		return planner.Result{}, r.revive(ctx, old, wasUp && fixed, complaint.Placed(err, s.Applied.Service, o.Places))
	}
	defer c.op.Unlock()
	if !s.NoStart { // else its ports are bound by its start
		if err = r.publish(ctx, o, c); err == nil {
			err = c.prepare(ctx)
		}
	}
	if err != nil {
		r.removeFailed(ctx, c)
		return planner.Result{}, complaint.Placed(r.revive(ctx, old, wasUp && fixed, err), s.Applied.Service, o.Places)
	}
	if err := r.takePlace(waits, o, old, c, s, note); err != nil {
		r.removeFailed(ctx, c)
		return planner.Result{}, r.revive(ctx, old, wasUp, err)
	}
	failpoint.Hit("runner/replacement-started")
	c.setPending(false)
	c.route()
	r.feed.Tell(c.project, c.id)
	err = old.remove(ctx, o.Grace, true)
	if s.NoStart {
		r.unpublish(ctx, c) // what the old one had
	}
	return planner.Result{}, err
}

// takePlace stops the old container and starts the new one with its addresses,
// which are the old one's again where that fails.
func (r *Runner) takePlace(waits context.Context, o *Order, old, c *container, s *planner.Step, note func(planner.Event)) error {
	ctx := context.WithoutCancel(waits)
	if s.NoStart {
		old.unroute(false) // nobody is to answer
	}
	old.setYields(true)
	if !s.NoStart {
		c.lead(nil, true)
	}
	old.drainTraffic(ctx, o.Grace)
	// What is left of the old process is dealt with while the new one starts.
	if _, err := old.stopUnreaped(ctx, o.Grace, false); err != nil {
		return err
	}
	old.names(false)
	failpoint.Hit("runner/replaced-stopped")
	err := r.exchange(ctx, old, c)
	if err == nil && !s.NoStart {
		err = complaint.Placed(c.begin(ctx, waits, note), s.Applied.Service, o.Places)
	}
	if err != nil {
		err = errors.Join(err, c.stop(ctx, Grace{Set: true, Bare: true}, false), old.stop(ctx, o.Grace, false), r.exchange(ctx, c, old))
	}
	return err
}

// overlap puts a new container in the place of one that goes on until the new
// one is ready (Compose Deploy Specification, update_config.order: start-first).
// Both answer to their names for a while; published ports lead to the old one
// until then. If the new one fails, the old one has never noticed.
func (r *Runner) overlap(waits context.Context, o *Order, s *planner.Step, old *container, note func(planner.Event)) (planner.Result, error) {
	ctx := context.WithoutCancel(waits)
	c, err := r.create(ctx, o.request(s, note))
	if err != nil {
		return planner.Result{}, complaint.Placed(err, s.Applied.Service, o.Places)
	}
	defer c.op.Unlock()
	err = r.publish(ctx, o, c)
	if err == nil {
		err = c.begin(ctx, waits, note)
	}
	if err == nil {
		err = r.awaitOne(waits, c, note)
	}
	if err == nil {
		err = old.beforeStop(ctx, o.Grace)
	}
	if err != nil {
		r.removeFailed(ctx, c)
		// The ports that only the old one has are published again.
		err = errors.Join(complaint.Placed(err, s.Applied.Service, o.Places), r.publish(ctx, nil, old))
		old.route()
		return planner.Result{}, err
	}
	failpoint.Hit("runner/replacement-ready")
	old.setYields(true)
	c.setPending(false)
	c.route()
	old.drainTraffic(ctx, o.Grace)
	grace := o.Grace
	grace.Bare = true // they have been run
	if err := errors.Join(old.stop(ctx, grace, false), old.remove(ctx, grace, true)); err != nil {
		return planner.Result{}, err
	}
	r.feed.Tell(c.project, c.id)
	return planner.Result{}, nil
}

// awaitOne waits until a container is healthy, or has run steadily for a
// while; the error of one that fails has its last lines.
func (r *Runner) awaitOne(ctx context.Context, c *container, note func(planner.Event)) error {
	one := r.watched(c.project)
	one.List = func() []planner.Container { return []planner.Container{c.observe()} }
	_, err := one.Await(ctx, &planner.Step{Service: c.snapshot().Service, Condition: planner.Ready}, func(err error) error {
		return &complaint.Failed{Text: err.Error() + "; the old container stays", Last: r.LastLines(c.id, 20)}
	}, func(text string) { note(planner.Event{Text: text}) })
	return err
}

// exchange gives a container the addresses of the one that it replaces, and
// that one its own; the programs of both must not run. Who has resolved the
// name once, as nginx does with its upstreams, goes on finding it.
func (r *Runner) exchange(ctx context.Context, from, to *container) error {
	if !from.ownsNetwork() || !to.ownsNetwork() {
		return nil
	}
	if err := r.nets.Exchange(ctx, from.id, to.id); err != nil {
		return err
	}
	for _, c := range []*container{from, to} {
		if err := c.noteAddresses(); err != nil {
			return err
		}
	}
	return nil
}

// noteAddresses notes the addresses that a container has in its network namespace,
// also in its files.
func (c *container) noteAddresses() error {
	state, ok := c.r.nets.Sandbox(c.id)
	if !ok {
		return fmt.Errorf("internal error: the network of %s is gone", c.name)
	}
	rec := c.snapshot()
	addresses, names := assembly.Member(&rec).Addresses(state)
	if _, err := c.r.maker().Etc(&rec, names); err != nil {
		return err
	}
	c.apply(supervisor.Connected{Addresses: addresses})
	return nil
}

// readdress notes the addresses that a container has, where something that was
// not finished may have left others on record.
func (c *container) readdress() {
	rec := c.snapshot()
	if isSharer(&rec) {
		if c.r.share(&rec) == nil {
			c.apply(supervisor.Connected{Addresses: rec.Addresses})
		}
		return
	}
	if state, ok := c.r.nets.Sandbox(c.id); ok {
		addresses, _ := assembly.Member(&rec).Addresses(state)
		c.apply(supervisor.Connected{Addresses: addresses})
	}
}

// ownsNetwork says whether a container has a network namespace of its own.
func (c *container) ownsNetwork() bool {
	_, ok := c.r.nets.Sandbox(c.id)
	return ok
}

func hasFixedAddress(a *planner.Applied) bool { return a.Service.FixedAddress() != "" }

// stopAndDisconnect stops a container and gives its addresses up, for one that must have
// the same.
func (r *Runner) stopAndDisconnect(ctx context.Context, c *container, grace Grace) error {
	if err := c.stop(ctx, grace, false); err != nil {
		return err
	}
	return r.nets.RemoveSandbox(ctx, c.id)
}

// revive brings the old container back after its replacement failed with err.
func (r *Runner) revive(ctx context.Context, old *container, wasUp bool, err error) error {
	clean := context.WithoutCancel(ctx)
	old.setYields(false)
	old.readdress()
	if !wasUp {
		if perr := r.publish(clean, nil, old); perr != nil {
			err = errors.Join(err, perr)
		}
		old.route()
		return err
	}
	rec := old.snapshot()
	if !old.ownsNetwork() && rec.Netns != "" && rec.Applied.Service.NetworkMode == "" {
		if cerr := old.restore(clean); cerr != nil {
			return errors.Join(err, fmt.Errorf("and %s could not be brought back: %w", old.name, cerr))
		}
	}
	if perr := r.publish(clean, nil, old); perr != nil {
		err = errors.Join(err, perr)
	}
	if serr := old.begin(clean, clean, func(planner.Event) {}); serr != nil {
		return errors.Join(err, fmt.Errorf("and %s could not be brought back: %w", old.name, serr))
	}
	old.route()
	return err
}
