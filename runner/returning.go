package runner

import (
	"context"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/health"
	"github.com/orlop/orlop/runner/supervisor"
)

// awaitOthers holds a container back that comes back by itself after a reboot,
// or after the loss of its shim, until those that it depends on are back as
// its depends_on wants them. Whoever starts it by hand does not wait for this.
func (c *container) awaitOthers() {
	c.mu.Lock()
	returns := c.returns
	c.mu.Unlock()
	if !returns {
		return
	}
	select {
	case <-c.r.adopted: // before, the others are as they were
	case <-c.r.ctx.Done():
		return
	}
	ctx, cancel := context.WithCancel(c.r.ctx)
	defer cancel()
	check := func() {
		if rec := c.snapshot(); rec.State != planner.Restarting {
			cancel()
		} else if text := health.Awaits(c.r.Containers(c.project), rec.Applied.Service); text == "" {
			cancel()
		} else if text != rec.Error {
			c.apply(supervisor.Waits{For: text})
		}
	}
	c.r.Watch(ctx, c.project, func(planner.Container, bool) { check() }, check)
}
