package runner

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/containerd/errdefs"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/proc"
	"github.com/orlop/orlop/runner/supervisor"
)

// pause freezes all processes of a container. A probe that is under way is given up
// first: frozen half begun, its runc would wait for the container to go on, and the
// engine's end for it. The caller holds op.
func (c *container) pause(ctx context.Context) error {
	c.mu.Lock()
	task, state, probing := c.task, c.state, c.probing
	c.mu.Unlock()
	if state.Paused {
		return fmt.Errorf("%s is already paused", c.name)
	} else if task == nil || state.State != planner.Running {
		return fmt.Errorf("cannot pause %s: it %w", c.name, ErrNotRunning)
	}
	c.stopProbes()
	if probing != nil {
		select {
		case <-probing:
		case <-time.After(stopTimeout):
			c.startProbes()
			return fmt.Errorf("cannot pause %s: a probe of its health does not end: wait, or restart it", c.name)
		}
	}
	if err := task.Pause(ctx); err != nil {
		c.startProbes()
		return fmt.Errorf("cannot pause %s: %w", c.name, err)
	}
	c.apply(supervisor.Frozen{Paused: true, At: c.r.Now()})
	return nil
}

// unpause has the processes of a container that is paused go on. What is to end, or was
// killed, has to run for that, and may be gone by now.
func (c *container) unpause(ctx context.Context) error {
	c.mu.Lock()
	task, end, paused := c.task, c.ending, c.state.Paused
	c.mu.Unlock()
	if task == nil || !paused {
		return nil
	}
	err := task.Resume(ctx)
	state := proc.State(int(task.Pid()))
	isGone := end.isOver() || errdefs.IsNotFound(err) || state == "unknown" || strings.HasPrefix(state, "Z")
	if err != nil && !isGone && c.snapshot().Paused { // nor has somebody else been faster
		return fmt.Errorf("cannot unpause %s: %w", c.name, err)
	}
	c.apply(supervisor.Frozen{At: c.r.Now()})
	return nil
}

// Freeze pauses a container until thaw is called; somebody else may have it go on before. One
// that does not run, or is paused, stays as it is, and there is nothing to thaw.
func (r *Runner) Freeze(ctx context.Context, id string) (thaw func(context.Context) error, err error) {
	c := r.lookup(id)
	if c == nil {
		return nil, fmt.Errorf("no container with ID %s", id)
	}
	if err := c.op.Lock(ctx); err != nil {
		return nil, err
	}
	defer c.op.Unlock()
	if s := c.snapshot(); s.State != planner.Running || s.Paused {
		return nil, nil
	}
	if err := c.pause(ctx); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		if err := c.op.Lock(ctx); err != nil {
			return err
		}
		defer c.op.Unlock()
		return c.unpause(ctx)
	}, nil
}
