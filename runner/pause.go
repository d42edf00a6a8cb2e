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

// pause freezes all processes of a container; one that is held still stays so from now on. The caller holds op.
func (c *container) pause(ctx context.Context) error {
	if wasHeld := c.claim.Drop(); wasHeld && c.snapshot().Paused {
		return nil
	}
	return c.freeze(ctx)
}

// freeze gives a probe that is under way up first: frozen half begun, its runc would wait
// for the container to go on, and the engine's end for it.
func (c *container) freeze(ctx context.Context) error {
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
	c.claim.Drop()
	c.apply(supervisor.Frozen{At: c.r.Now()})
	return nil
}

// Freeze implements freezer.Containers.
func (r *Runner) Freeze(ctx context.Context, id string, lost func()) (thaw func(context.Context) error, err error) {
	c := r.lookup(id)
	if c == nil {
		return nil, fmt.Errorf("no container with ID %s", id)
	}
	if err := c.op.Lock(ctx); err != nil {
		return nil, err
	}
	defer c.op.Unlock()
	s := c.snapshot()
	if s.State != planner.Running || s.Paused && !c.claim.IsTaken() {
		return nil, nil
	}
	if err := c.freeze(ctx); err != nil && !s.Paused {
		return nil, err
	}
	isMine := c.claim.Take(lost)
	return func(ctx context.Context) error {
		if err := c.op.Lock(ctx); err != nil {
			return err
		}
		defer c.op.Unlock()
		if !isMine() {
			return nil
		}
		return c.unpause(ctx)
	}, nil
}
