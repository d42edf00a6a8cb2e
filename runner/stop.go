package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"

	"github.com/orlop/orlop/failpoint"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/op"
	"github.com/orlop/orlop/runner/proc"
	"github.com/orlop/orlop/runner/supervisor"
)

// killOrphan kills a process that lost its parent, so that nothing runs on
// unmanaged. Its number could be another's by now; the descriptor is its own.
func (c *container) killOrphan() {
	c.mu.Lock()
	p := c.pidfd
	c.mu.Unlock()
	if p != nil {
		_ = p.Kill() // it may have ended
	}
}

// Grace is how long a container may take to stop; the zero value is its own.
type Grace struct {
	Set  bool
	Time time.Duration
	Bare bool // without the commands of pre_stop

	Signal string // in place of the container's own; "": that one

	Say func(line string) // gets what those print; may be nil
}

// withSignal is a grace period that another signal begins.
func withSignal(g Grace, signal string) Grace {
	g.Signal = signal
	return g
}

// stopTimeout is the grace period when neither the user nor the service says.
const stopTimeout = 10 * time.Second

// graceOf is how long the container may take to stop, and whether the user or
// the stack file has chosen it.
func (c *container) graceOf(grace Grace) (wait time.Duration, isChosen bool) {
	if grace.Set {
		return grace.Time, true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.made.Applied.Service.StopGrace; p != nil {
		return time.Duration(*p), true
	}
	return stopTimeout, false
}

// The three ways of ending a container: stop (its signal, the grace period,
// SIGKILL), kill (a signal, now), and remove, which takes its layer along.

// stop stops the container and waits until its process is reaped. A process
// that can't be reached by the signal is killed at once where nobody has chosen
// the grace period. The caller holds op.
func (c *container) stop(ctx context.Context, grace Grace, byUser bool) error {
	end, err := c.stopUnreaped(ctx, grace, byUser)
	if err != nil || end == nil {
		return err
	}
	return c.awaitReaped(ctx, end)
}

// awaitReaped waits until a process that has ended is reaped.
func (c *container) awaitReaped(ctx context.Context, end *ending) error {
	timer := time.NewTimer(reapTimeout)
	defer timer.Stop()
	select {
	case <-end.reaped:
		return nil
	case <-timer.C:
		return fmt.Errorf("cannot stop %s: its process has ended, and containerd does not clear it away: run \"orlop engine restart\"", c.name)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// reapTimeout bounds how long it may take to clear away what is left of a
// process that has ended: its output is read to the end, and runc is called.
const reapTimeout = 30 * time.Second

// stopUnreaped is stop that doesn't wait until the process is reaped, which
// what it returns tells of; it is nil where there is nothing to reap.
func (c *container) stopUnreaped(ctx context.Context, grace Grace, byUser bool) (*ending, error) {
	if _, err := proc.ParseSignal(grace.Signal); err != nil {
		return nil, err
	}
	if err := c.beforeStop(ctx, grace); err != nil {
		return nil, err
	}
	was := c.snapshot().State
	c.apply(supervisor.StopAsked{ByUser: byUser})
	c.mu.Lock()
	task, end, sig := c.task, c.ending, c.made.StopSignal
	c.mu.Unlock()
	sig = cmp.Or(grace.Signal, sig)
	wait, isChosen := c.graceOf(grace)
	switch {
	case was == planner.Created && task != nil:
		c.deleteTask(ctx, task, false)
	case was != planner.Running && was != planner.Stopping:
	case task != nil:
		return end, c.stopTask(ctx, task, end, proc.StopSignal(sig), wait, isChosen)
	default:
		return end, nil // it has just ended by itself
	}
	return nil, nil
}

// stopTask signals a process and waits until it has ended. A wait that nobody
// has chosen ends where the process can't be reached by the signal.
func (c *container) stopTask(ctx context.Context, task containerd.Task, end *ending, sig syscall.Signal, wait time.Duration, isChosen bool) error {
	if end.isOver() {
		return nil
	}
	if pid := int(task.Pid()); wait > 0 && (c.foreign || !proc.IsBeforeExec(pid)) {
		if err := c.signal(ctx, task, sig); err != nil {
			return err
		}
		if err := c.unpause(ctx); err != nil {
			return err
		}
		grace, done := c.beginGrace(ctx, wait)
		defer done()
		var alone <-chan struct{}
		if !isChosen && !c.foreign && proc.IgnoresSignal(pid, sig) {
			alone = proc.Childless(grace, pid)
		}
		select {
		case <-end.exited:
			return nil
		case <-alone:
		case <-grace.Done():
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
		}
	}
	return c.killTask(ctx, task, end)
}

// beginGrace gives a context that ends with the grace period; done is called
// when nobody waits any more.
func (c *container) beginGrace(ctx context.Context, wait time.Duration) (grace context.Context, done func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	grace, c.patience = op.Begin(ctx, c.r.hurries.Bound(c.project, c.made.Service, wait))
	return grace, c.patience.End
}

// Hasten bounds the grace periods of containers of a project, all or those of some
// services, that run now or begin until over is called: whoever calls it has less
// patience than whoever stops them now, and comes after him.
func (r *Runner) Hasten(project string, services []string, g Grace) (over func()) {
	if !g.Set {
		return func() {}
	}
	h := &op.Hurry{Project: project, Services: services, Rest: g.Time}
	over = r.hurries.Add(h)
	for _, p := range r.Containers(project) {
		if c := r.lookup(p.ID); c != nil && h.IsOf(project, p.Service) {
			c.hasten(g.Time)
		}
	}
	return over
}

func (c *container) hasten(rest time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.patience.Shorten(rest)
}

// killTask kills a process and waits until it has ended.
func (c *container) killTask(ctx context.Context, task containerd.Task, end *ending) error {
	if err := c.signal(ctx, task, syscall.SIGKILL); err != nil {
		return err
	}
	if err := c.unpause(ctx); err != nil {
		return err
	}
	return c.awaitKilled(ctx, task, end)
}

// awaitKilled waits until a process that was sent SIGKILL has ended.
func (c *container) awaitKilled(ctx context.Context, task containerd.Task, end *ending) error {
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-end.exited:
		return nil
	case <-timer.C:
		if state := proc.State(int(task.Pid())); strings.HasPrefix(state, "Z") {
			return fmt.Errorf("cannot stop %s: its process has ended, and its parent, the shim, does not say so: run \"orlop engine restart\"", c.name)
		}
		return fmt.Errorf("cannot stop %s: process %d did not end within %s of SIGKILL (state %s)", c.name, task.Pid(), stopTimeout, proc.State(int(task.Pid())))
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// kill sends a signal to the container's process; what ends by it has ended on the
// user's word (supervisor.EndAsked, Signalled). What can't be sent is no event.
func (c *container) kill(waits context.Context, name string) error {
	sig, err := proc.ParseSignal(name)
	if err != nil {
		return err
	}
	ctx := context.WithoutCancel(waits)
	c.mu.Lock()
	task, end, state, stop := c.task, c.ending, c.state.State, proc.StopSignal(c.made.StopSignal)
	running, asked := c.state.HasProcess(), c.state.EndAsked
	c.mu.Unlock()
	sent := supervisor.Signalled{Signal: int(sig), At: c.r.Now()} // before what comes of it
	switch {
	case state == planner.Restarting && (sig == syscall.SIGKILL || sig == stop || supervisor.AsksToEnd(int(sig))):
		if err := c.op.Lock(waits); err != nil {
			return err
		}
		defer c.op.Unlock()
		if err := c.stop(ctx, Grace{Set: true, Bare: true}, true); err != nil {
			return err
		}
		c.apply(sent)
		return nil
	case task == nil || !running:
		return fmt.Errorf("%s %w", c.name, ErrNotRunning)
	case sig == syscall.SIGKILL:
		c.apply(supervisor.StopAsked{ByUser: true})
	case sig == stop:
		c.apply(supervisor.EndAsked{})
	}
	if err := c.signal(ctx, task, sig); err != nil {
		if sig == stop && !asked {
			c.apply(supervisor.EndAsked{Undone: true})
		}
		return err
	}
	c.apply(sent)
	if sig != syscall.SIGKILL && sig != stop {
		return nil
	}
	if err := c.unpause(ctx); err != nil { // it is to end by that
		return err
	}
	if sig != syscall.SIGKILL {
		return nil
	}
	if err := c.awaitKilled(ctx, task, end); err != nil {
		return err
	}
	return c.awaitReaped(ctx, end)
}

// KillAll kills every process of a project's containers at once. Their
// policies bring none of them back.
func (r *Runner) KillAll(ctx context.Context, project string) {
	var all sync.WaitGroup
	for _, p := range r.Containers(project) {
		if c := r.lookup(p.ID); c != nil {
			all.Go(func() { c.killAtOnce(ctx) })
		}
	}
	all.Wait()
}

// killAtOnce kills the container's process without waiting for an event that is
// being dealt with; and then what its policy has begun meanwhile.
func (c *container) killAtOnce(ctx context.Context) {
	first := c.signalKill(ctx, nil)
	c.apply(supervisor.StopAsked{ByUser: true})
	c.signalKill(ctx, first)
}

// signalKill kills the container's process, unless that is the one which was
// killed before, and gives it; nil where there is none.
func (c *container) signalKill(ctx context.Context, before containerd.Task) containerd.Task {
	c.mu.Lock()
	task, state := c.task, c.state.State
	c.mu.Unlock()
	if task == nil || task == before || state == planner.Created {
		return before
	}
	if err := c.signal(ctx, task, syscall.SIGKILL); err != nil {
		c.r.log.Warn("cannot kill", "container", c.name, "error", err)
	} else if err := c.unpause(ctx); err != nil {
		c.r.log.Warn("what is paused does not end", "container", c.name, "error", err)
	}
	return task
}

// signal sends to the first process, by a descriptor of it where there is
// one: a number could be another's by now. The shim, which would start runc
// for it, is asked where that fails.
func (c *container) signal(ctx context.Context, task containerd.Task, sig syscall.Signal) error {
	c.mu.Lock()
	p := c.pidfd
	c.mu.Unlock()
	if p != nil {
		if err := p.Signal(sig); err == nil || errors.Is(err, os.ErrProcessDone) {
			return nil
		}
	}
	if c.foreign {
		if err := c.loseHung(ctx); err != nil {
			return err
		}
	}
	if err := task.Kill(ctx, sig); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("cannot signal %s: %w", c.name, err)
	}
	return nil
}

// remove stops the container and removes it with its layer and all else that
// belongs to it but named volumes. The caller holds op.
func (c *container) remove(ctx context.Context, grace Grace, anonymous bool) error {
	if c.isRemoving() {
		return nil
	}
	if err := c.stop(ctx, grace, true); err != nil {
		return err
	}
	c.apply(supervisor.RemoveBegun{})
	failpoint.Hit("runner/removal-begun")
	rec := c.snapshot()
	r := c.r
	r.unpublish(ctx, c)
	var leaving sync.WaitGroup
	leaving.Go(func() { r.disconnect(ctx, c.id) }) // the kernel takes its time
	defer leaving.Wait()
	var volumes []string
	var err error
	if anonymous {
		volumes = rec.OwnVolumes(r.allRecords())
		err = r.volumes.Bind(c.id, volumes) // from here on, an engine that comes next removes them
	} else {
		err = r.volumes.Unbind(rec.OwnVolumes(nil)) // with others or not, they stay
	}
	if err == nil {
		err = c.ctr.Delete(ctx, containerd.WithSnapshotCleanup)
	}
	if errdefs.IsFailedPrecondition(err) { // its task could not be deleted when it ended
		r.deleteLeft(ctx, c.ctr)
		err = c.ctr.Delete(ctx, containerd.WithSnapshotCleanup)
	}
	if err != nil && !errdefs.IsNotFound(err) {
		c.apply(supervisor.RemoveFailed{})
		return fmt.Errorf("cannot remove %s: %w", c.name, errors.Join(err, r.volumes.Unbind(volumes)))
	}
	failpoint.Hit("runner/container-deleted")
	c.log.Close()
	leaving.Wait()
	r.removeLeftovers(ctx, c.id)
	r.records.Delete(c.id)
	failpoint.Hit("runner/record-deleted")
	r.mu.Lock()
	delete(r.containers, c.id)
	r.mu.Unlock()
	if anonymous {
		r.removeAnonymous(&rec)
	}
	r.volumes.Detach(func(volume string) bool { return supervisor.HaveVolume(r.allRecords(), volume) })
	r.Tidy()
	r.feed.Tell(c.project, c.id)
	return nil
}
