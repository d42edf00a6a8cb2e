package runner

import (
	"context"
	"sync"

	"github.com/orlop/orlop/runner/assembly"
	"github.com/orlop/orlop/runner/oci"
	"github.com/orlop/orlop/runner/supervisor"
	"github.com/orlop/orlop/spec"
)

// CreateOneOff makes a container outside of a service's replicas, and starts
// it if asked to. The warnings tell what it got otherwise than asked for.
func (r *Runner) CreateOneOff(ctx context.Context, req assembly.Request, places spec.Places, start bool) (made OneOff, err error) {
	if req.Name == "" {
		req.Name = req.NameOf("run", supervisor.NewID()[:12])
	}
	req.Warn = func(w oci.Warning) { made.Warnings = append(made.Warnings, w.Placed(req.Service, places)) }
	c, err := r.create(ctx, req)
	if err != nil {
		return made, err
	}
	defer c.op.Unlock()
	err = r.publish(ctx, nil, c)
	if err == nil && start {
		err = c.start(ctx)
	}
	if err != nil {
		r.removeFailed(ctx, c)
		return made, err
	}
	made.ID, made.Name = c.id, c.name
	return made, nil
}

// RemoveOneOff removes a container of a name that is outside of a service's replicas.
func (r *Runner) RemoveOneOff(ctx context.Context, project, name string) error {
	for _, c := range r.all() {
		if rec := c.snapshot(); rec.Project != project || rec.Name != name || !rec.OneOff {
			continue
		}
		if err := c.op.Lock(ctx); err != nil {
			return err
		}
		defer c.op.Unlock()
		return c.remove(context.WithoutCancel(ctx), Grace{}, true)
	}
	return nil
}

// OneOff is a container that was made outside of a service's replicas.
type OneOff struct {
	ID, Name string
	Warnings []string
}

// autoRemove removes the container if that is what its end leads to. It
// holds no lock when it is called.
func (c *container) autoRemove(ctx context.Context) {
	if c.op.Lock(ctx) != nil { // somebody may be starting it again
		return
	}
	defer c.op.Unlock()
	if rec := c.snapshot(); !rec.IsOver() || c.isDetached() {
		return
	}
	if err := c.remove(ctx, Grace{Set: true}, true); err != nil {
		c.r.log.Warn("cannot remove a container that has ended", "container", c.name, "error", err)
	}
}

// Abandon is told that the caller who was to start a container is gone.
func (r *Runner) Abandon(ctx context.Context, id string) {
	if c := r.lookup(id); c != nil {
		c.autoRemove(ctx)
	}
}

// closeOver tells those who wait that nothing more follows from the end of the
// container's process.
func (c *container) closeOver() {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.over:
	default:
		close(c.over)
	}
}

// autoRemoveAll removes what an engine before this one was to remove.
func (r *Runner) autoRemoveAll(ctx context.Context) {
	var wg sync.WaitGroup
	for _, c := range r.all() {
		if rec := c.snapshot(); rec.IsOver() {
			wg.Go(func() { c.autoRemove(ctx) })
		}
	}
	wg.Wait()
}
