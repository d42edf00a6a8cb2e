package runner

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/orlop/orlop/keeper"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/assembly"
	"github.com/orlop/orlop/runner/ports"
	"github.com/orlop/orlop/runner/supervisor"
)

// acceptTime is how long a program that is to end may take at least to accept
// the connections that came before its ports led elsewhere, however short its
// grace period. It takes that long only on a busy machine, or if it accepts
// none any more.
const acceptTime = time.Second

// unseenTime is how long what a client said last counts as a request where its
// protocol is not known, unless somebody has chosen a grace period: a database's
// query may take that long, and an idle connection of HTTP/2 or a shipper of
// logs, which speak and get no answer, must not hold up each replacement.
const unseenTime = 3 * time.Second

// drainTraffic lets a program to which nothing new is led finish what it was given,
// for its grace period at most: the requests under way by its published ports
// are answered, and what the kernel has established for it is accepted, which
// would be reset with its listener. Its signal comes after that.
func (c *container) drainTraffic(ctx context.Context, grace Grace) {
	rec := c.snapshot()
	c.mu.Lock()
	running := c.task != nil && rec.State == planner.Running && !rec.Paused // which answers nothing
	c.mu.Unlock()
	owner := c.r.portOwner(&rec)
	targets := owner.Targets()
	if !running || len(targets) == 0 {
		return
	}
	limit, isChosen := c.graceOf(grace)
	patience := keeper.Patience{Within: limit, Unseen: unseenTime}
	if isChosen {
		patience.Unseen = limit
	}
	began := c.r.Now()
	if err := c.r.ports.Drain(ctx, owner, patience); err != nil {
		c.r.log.Warn("requests may be lost", "container", c.name, "error", err)
	}
	ctx, cancel := context.WithTimeout(ctx, max(limit-c.r.Now().Sub(began), acceptTime))
	defer cancel()
	if err := c.r.nets.AwaitAccept(ctx, c.id, targets); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		c.r.log.Warn("connections may be lost", "container", c.name, "error", err)
	}
}

// portOwner is a container as far as its ports go.
func (r *Runner) portOwner(rec *supervisor.Record) ports.Owner {
	o := ports.Owner{
		Project: rec.Project, Service: rec.Service, Number: rec.Number, Ports: rec.Applied.Service.Ports, Published: rec.Published,
		HostIP: cmp.Or(rec.Applied.HostIP, r.topology.HostBinding(assembly.Member(rec))),
	}
	if mode := rec.Applied.Service.NetworkMode; mode == "host" || mode == "none" {
		o.Ports = nil // there is nothing of its own to lead to
	}
	if rec.OneOff {
		o.OneOff = rec.ID[:12]
	}
	return o
}

// publish binds the ports of a container and parks their connections until it is
// ready; see ports.Table. o is nil outside of plans.
func (r *Runner) publish(ctx context.Context, o *Order, c *container) error {
	rec := c.snapshot()
	var plan *planner.Plan
	if o != nil {
		plan = o.Plan
	}
	owner := r.portOwner(&rec)
	owner.Ended = func(key string) bool {
		return supervisor.HaveDone(r.allRecords(), func(other *supervisor.Record) bool {
			its := r.portOwner(other)
			return other.Project == rec.Project && strings.HasPrefix(key, its.Place())
		})
	}
	owner.Warn = func(err error) { r.log.Warn("a container runs without a port", "container", c.name, "error", err) }
	bound, err := r.ports.Publish(ctx, owner, plan)
	if err == nil && (len(bound) > 0 || len(rec.Published) > 0) {
		c.apply(supervisor.Published{Bindings: bound})
	}
	return err
}

// unpublish closes the listeners of a replica, unless another container has
// its place.
func (r *Runner) unpublish(ctx context.Context, c *container) {
	rec := c.snapshot()
	if rec.OneOff && len(rec.Published) == 0 {
		return
	}
	owner := r.portOwner(&rec)
	r.mu.Lock()
	for _, other := range r.containers {
		if other == c || other.isRemoving() {
			continue
		}
		its := other.snapshot()
		if its := r.portOwner(&its); its.Place() == owner.Place() {
			r.mu.Unlock()
			return
		}
	}
	r.mu.Unlock()
	if err := r.ports.Unpublish(ctx, owner); err != nil {
		r.log.Warn("cannot close the published ports of a container", "container", c.name, "error", err)
	}
}

// route leads the container's ports to it once it is ready: at once without
// a health check, else when it is known to be healthy or not to be.
func (c *container) route() {
	c.mu.Lock()
	s := &c.state
	health, addresses := s.Health, s.Addresses
	running := c.task != nil && s.State == planner.Running
	published := len(s.Published) > 0 && !c.pending // while it is, they are another's
	c.mu.Unlock()
	if !published || !running {
		return
	}
	c.lead(addresses, health == planner.Starting)
}

// unroute parks the ports of a container that is to come back, and lets
// connections fail where nothing is to come.
func (c *container) unroute(again bool) {
	c.mu.Lock()
	published := len(c.state.Published) > 0 && !c.state.Removing && !c.yields && !c.pending
	c.mu.Unlock()
	if published {
		c.lead(nil, again)
	}
}

// lead points each port of the container at the first of the addresses at which the
// machine reaches it, if any.
func (c *container) lead(addresses []string, parked bool) {
	rec := c.snapshot()
	to := c.r.topology.Reached(assembly.Member(&rec), addresses)
	if err := c.r.ports.Lead(c.r.ctx, c.r.portOwner(&rec), to, parked); err != nil && c.r.ctx.Err() == nil {
		c.r.log.Warn("cannot route the published ports of a container", "container", c.name, "error", err)
	}
}
