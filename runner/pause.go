package runner

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/errdefs"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/supervisor"
)

// pause freezes all processes of a container. A probe that is under way is given up
// first: frozen half begun, its runc would wait for the container to go on, and the
// engine's end for it. The caller holds op.
func (c *container) pause(ctx context.Context) error {
	c.mu.Lock()
	task, runs, probing := c.task, c.state.State == planner.Running, c.probing
	c.mu.Unlock()
	if task == nil || !runs {
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
	if err := task.Resume(ctx); err != nil && !errdefs.IsNotFound(err) && !end.isOver() {
		return fmt.Errorf("cannot unpause %s: %w", c.name, err)
	}
	c.apply(supervisor.Frozen{At: c.r.Now()})
	return nil
}
