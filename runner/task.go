package runner

import (
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
	"github.com/moby/sys/signal"

	"github.com/orlop/orlop/planner"
)

// shimLost is the exit code of a container whose parent process vanished.
const shimLost = 255

// prepare makes the container's process without starting its program: mounts,
// namespaces and limits are set, so that start takes the least time.
func (c *container) prepare(ctx context.Context) error {
	c.mu.Lock()
	ctr, ready := c.ctr, c.task != nil
	c.mu.Unlock()
	if ready {
		return nil
	}
	if err := c.restore(ctx); err != nil {
		return err
	}
	if err := c.r.renew(ctx, ctr); err != nil {
		return fmt.Errorf("cannot prepare %s: %w", c.name, err)
	}
	rec := c.snapshot()
	release, err := c.r.volumes.MountSubpaths(c.id, rec.Service, rec.Applied)
	if err != nil {
		return err
	}
	task, err := c.r.newTask(ctx, c, ctr)
	release()
	if err != nil {
		return c.startError(err)
	}
	c.mu.Lock()
	c.task = task
	c.streams.settle()
	c.mu.Unlock()
	return nil
}

// restore makes anew what a reboot takes from a container that it leaves: the
// network namespace, the secrets' files.
func (c *container) restore(ctx context.Context) error {
	r := c.r
	c.mu.Lock()
	rec := c.rec
	c.mu.Unlock()
	shared := isSharer(rec)
	if _, ok := r.nets.Sandbox(rec.ID); !ok && rec.Netns != "" && !shared {
		fresh := *rec
		fresh.Addresses = nil
		names, err := r.connect(ctx, &fresh)
		if err != nil {
			return err
		}
		if _, err := r.etcMounts(&fresh, names); err != nil {
			return err
		}
		c.set(func(rec *record) { rec.Netns, rec.Addresses = fresh.Netns, fresh.Addresses })
	}
	if shared {
		if err := c.rejoinNetwork(ctx); err != nil {
			return err
		}
	}
	if n := len(rec.Applied.Service.Secrets) + len(rec.Applied.Service.Configs); n > 0 && !r.secrets.has(rec.ID, n) {
		_, err := r.fileMounts(rec)
		return err
	}
	return nil
}

// start runs the container's program; the caller holds op.
func (c *container) start(ctx context.Context) error {
	switch c.snapshot().State {
	case planner.Running:
		return nil
	case planner.Stopping: // somebody gave up waiting for its end
		if err := c.stop(ctx, Grace{Set: true}, false); err != nil {
			return fmt.Errorf("cannot start %s again: %w", c.name, err)
		}
	}
	c.cancelRetry()
	if err := c.prepare(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	task := c.task
	c.ending = newEnding()
	end := c.ending
	c.mu.Unlock()
	// The exit is awaited first, so that one that comes at once isn't missed.
	exits, err := task.Wait(context.WithoutCancel(ctx))
	// Before it runs: what it prints at once must not seem older than its start.
	began := c.r.Now()
	if err == nil {
		err = task.Start(ctx)
	}
	if err != nil {
		c.dropTask(context.WithoutCancel(ctx), task)
		close(end.gone)
		close(end.settled)
		return c.startError(err)
	}
	c.hold(task)
	c.onStarted(task, began)
	c.r.wg.Go(func() { c.await(task, exits, end) })
	return nil
}

// hold keeps a descriptor of the first process. The exit is awaited already,
// so a process that has ended meanwhile is dealt with all the same.
func (c *container) hold(task containerd.Task) {
	p, err := os.FindProcess(int(task.Pid()))
	if err != nil {
		return
	}
	c.mu.Lock()
	c.pidfd = p
	c.mu.Unlock()
}

// await waits for the end of a process and deals with it.
func (c *container) await(task containerd.Task, exits <-chan containerd.ExitStatus, end *ending) {
	var status containerd.ExitStatus
	select {
	case status = <-exits:
	case <-c.r.ctx.Done():
		return
	}
	code, at, err := status.Result()
	lost := err != nil
	if lost {
		if c.r.ctx.Err() != nil {
			return
		}
		code, at = shimLost, c.r.Now()
		c.killLost()
	}
	if !lost {
		close(end.gone)
	}
	c.tap.end()
	ctx := context.WithoutCancel(c.r.ctx)
	if !lost && outOfMemory(c.r.cgroups+"/"+c.id) {
		c.mu.Lock()
		c.oom = true
		c.mu.Unlock()
	}
	if !lost {
		// The task knows how it ended until it is deleted; an engine that is
		// killed in between leaves it to the next one to read here.
		c.set(func(rec *record) { rec.ExitCode, rec.ExitedAt = int(code), at })
	}
	c.dropTask(ctx, task)
	c.onExit(int(code), at, lost)
	if lost {
		close(end.gone)
	}
	close(end.settled)
	c.removeEnded(ctx)
}

// dropTask deletes what is left of a process, once its streams are drained.
func (c *container) dropTask(ctx context.Context, task containerd.Task) {
	_, err := task.Delete(ctx, containerd.WithProcessKill)
	switch {
	case err == nil || errdefs.IsNotFound(err):
	case isShimGone(err):
		c.clearLost(ctx)
	default:
		c.r.log.Warn("cannot delete a task", "container", c.name, "error", err)
	}
	c.dropPipes(ctx)
	c.mu.Lock()
	var in *shim
	if c.task == task {
		in, c.task, c.shim = c.shim, nil, nil
		if c.pidfd != nil {
			_ = c.pidfd.Release()
			c.pidfd = nil
		}
	}
	c.mu.Unlock()
	if in != nil {
		if err != nil && isShimGone(err) {
			c.r.loseShim(in)
		}
		c.r.releaseShim(ctx, in)
	}
}

// killLost ends a process that lost its parent, so that nothing runs on
// unmanaged. Its number could be another's by now; the descriptor is its own.
func (c *container) killLost() {
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
	if p := c.rec.Applied.Service.StopGrace; p != nil {
		return time.Duration(*p), true
	}
	return stopTimeout, false
}

// stop ends the container's process: its stop signal, and after the grace
// period SIGKILL. A process that can't be reached by the signal is killed at
// once where nobody has chosen the period. The caller holds op.
func (c *container) stop(ctx context.Context, grace Grace, user bool) error {
	end, err := c.halt(ctx, grace, user)
	if err != nil || end == nil {
		return err
	}
	return c.awaitSettled(ctx, end)
}

// awaitSettled waits until the end of a process was dealt with.
func (c *container) awaitSettled(ctx context.Context, end *ending) error {
	timer := time.NewTimer(settledTimeout)
	defer timer.Stop()
	select {
	case <-end.settled:
		return nil
	case <-timer.C:
		return fmt.Errorf("cannot stop %s: its process has ended, and containerd does not clear it away: run \"orlop engine restart\"", c.name)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// settledTimeout bounds how long it may take to clear away what is left of a
// process that has ended: its output is read to the end, and runc is called.
const settledTimeout = 30 * time.Second

// halt is stop that doesn't wait until the end of the process was dealt with;
// that is so when what it returns is settled, or nil.
func (c *container) halt(ctx context.Context, grace Grace, user bool) (*ending, error) {
	c.cancelRetry()
	c.mu.Lock()
	task, end, sig := c.task, c.ending, c.rec.StopSignal
	running := c.rec.State == planner.Running || c.rec.State == planner.Stopping
	switch {
	case running && task != nil:
		c.rec.State = planner.Stopping
	case c.rec.State == planner.Restarting:
		c.rec.State = planner.Exited
	}
	created := c.rec.State == planner.Created
	c.rec.Wanted, c.rec.Stopped = false, c.rec.Stopped || user
	c.mu.Unlock()
	c.set(func(*record) {})
	wait, isChosen := c.graceOf(grace)
	switch {
	case running && task != nil:
		return end, c.end(ctx, task, end, stopSignal(sig), wait, isChosen)
	case running:
		if err := c.awaitSettled(ctx, end); err != nil { // it has just ended by itself
			return nil, err
		}
		c.cancelRetry()
		c.set(func(rec *record) { rec.State = planner.Exited })
	case created && task != nil:
		c.dropTask(ctx, task)
	}
	return nil, nil
}

// end signals a process and waits until it is gone. A wait that nobody has
// chosen ends where the process can't be reached by the signal.
func (c *container) end(ctx context.Context, task containerd.Task, end *ending, sig syscall.Signal, wait time.Duration, isChosen bool) error {
	select {
	case <-end.gone:
		return nil
	default:
	}
	if pid := int(task.Pid()); wait > 0 && !isBeforeExec(pid) {
		if err := c.signal(ctx, task, sig); err != nil {
			return err
		}
		grace, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		var alone <-chan struct{}
		if !isChosen && ignoresSignal(pid, sig) {
			alone = childless(grace, pid)
		}
		select {
		case <-end.gone:
			return nil
		case <-alone:
		case <-grace.Done():
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
		}
	}
	if err := c.signal(ctx, task, syscall.SIGKILL); err != nil {
		return err
	}
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-end.gone:
		return nil
	case <-timer.C:
		if state := processState(int(task.Pid())); strings.HasPrefix(state, "Z") {
			return fmt.Errorf("cannot stop %s: its process has ended, and its parent, the shim, does not say so: run \"orlop engine restart\"", c.name)
		}
		return fmt.Errorf("cannot stop %s: process %d did not end within %s of SIGKILL (state %s)", c.name, task.Pid(), stopTimeout, processState(int(task.Pid())))
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// KillAll kills every process of a project's containers at once. Their
// policies bring none of them back.
func (r *Runner) KillAll(ctx context.Context, project string) {
	for _, p := range r.Containers(project) {
		c := r.lookup(p.ID)
		if c == nil {
			continue
		}
		c.cancelRetry()
		c.mu.Lock()
		task := c.task
		c.rec.Wanted, c.rec.Stopped = false, true
		c.mu.Unlock()
		if task == nil || p.State == planner.Created {
			continue
		}
		if err := c.signal(ctx, task, syscall.SIGKILL); err != nil {
			r.log.Warn("cannot kill", "container", c.name, "error", err)
		}
	}
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
	if err := task.Kill(ctx, sig); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("cannot signal %s: %w", c.name, err)
	}
	return nil
}

// stopSignal parses a name or number; what can't be parsed is SIGTERM.
func stopSignal(name string) syscall.Signal {
	if name == "" {
		return syscall.SIGTERM
	}
	sig, err := signal.ParseSignal(name)
	if err != nil {
		return syscall.SIGTERM
	}
	return sig
}

func processState(pid int) string {
	if s, err := status(pid, "State"); err == nil {
		return s
	}
	return "unknown"
}

// removeLocked ends the container and removes all that belongs to it but named
// volumes. The caller holds op.
func (c *container) removeLocked(ctx context.Context, grace Grace, anonymous bool) error {
	c.mu.Lock()
	if c.gone {
		c.mu.Unlock()
		return nil
	}
	c.mu.Unlock()
	if err := c.stop(ctx, grace, true); err != nil {
		return err
	}
	c.mu.Lock()
	c.gone = true
	ctr, rec := c.ctr, c.rec
	c.mu.Unlock()
	r := c.r
	r.unpublish(ctx, c)
	var leaving sync.WaitGroup
	leaving.Go(func() { r.disconnect(ctx, c.id) }) // the kernel takes its time
	defer leaving.Wait()
	if err := ctr.Delete(ctx, containerd.WithSnapshotCleanup); err != nil && !errdefs.IsNotFound(err) {
		c.mu.Lock()
		c.gone = false
		c.mu.Unlock()
		return fmt.Errorf("cannot remove %s: %w", c.name, err)
	}
	c.log.Close()
	leaving.Wait()
	r.removeLeftovers(ctx, c.id)
	r.store.Delete(bucketContainers, c.id)
	r.mu.Lock()
	delete(r.containers, c.id)
	r.mu.Unlock()
	if anonymous {
		r.removeAnonymous(rec, "")
	}
	r.Tidy()
	r.changed(c.project, c.id)
	return nil
}

// adopt takes over a container that an earlier engine made.
func (c *container) adopt(ctx context.Context) {
	task, err := c.ctr.Task(ctx, c.attachStreams)
	if err != nil {
		if !errdefs.IsNotFound(err) {
			// It is there and can't be taken over: it must not run on beside its
			// successor.
			if lost, err := c.ctr.Task(ctx, nil); err == nil {
				c.dropTask(ctx, lost)
			}
		}
		c.adoptWithoutTask(err)
		return
	}
	status, err := task.Status(ctx)
	if err != nil || status.Status == containerd.Created {
		c.dropTask(ctx, task)
		c.adoptWithoutTask(err)
		return
	}
	c.mu.Lock()
	c.task = task
	c.ending = newEnding()
	end := c.ending
	stopping := c.rec.State == planner.Stopping
	c.mu.Unlock()
	c.rejoin()
	exits, err := task.Wait(context.WithoutCancel(ctx))
	if err != nil {
		c.r.log.Warn("cannot wait for a task", "container", c.name, "error", err)
	}
	if status.Status == containerd.Running {
		c.hold(task)
		c.set(func(rec *record) {
			if !stopping {
				rec.State = planner.Running
			}
			if rec.StartedAt.IsZero() {
				rec.StartedAt = c.r.Now()
			}
		})
		c.names(true)
		if err := c.r.publish(ctx, nil, c); err != nil {
			c.r.log.Warn("cannot publish a port again", "container", c.name, "error", err)
		}
		c.route()
		c.probe()
	}
	c.r.wg.Go(func() { c.await(task, exits, end) })
	if stopping {
		c.r.wg.Go(func() {
			c.op.Lock()
			defer c.op.Unlock()
			_ = c.end(c.r.ctx, task, end, syscall.SIGKILL, 0, false)
		})
	}
}

// adoptWithoutTask deals with a container whose process is not there: it was
// never started, had ended, or went with a reboot or its shim.
func (c *container) adoptWithoutTask(err error) {
	if err != nil && !errdefs.IsNotFound(err) {
		c.r.log.Warn("cannot look at a task", "container", c.name, "error", err)
	}
	c.mu.Lock()
	was, wanted, code, at := c.rec.State, c.rec.Wanted, c.rec.ExitCode, c.rec.ExitedAt
	known := at.After(c.rec.StartedAt)
	c.mu.Unlock()
	if (was == planner.Running || was == planner.Stopping) && c.isKnownToRunc() {
		c.clearLost(c.r.ctx) // it must not run on unmanaged
	}
	switch was {
	case planner.Running:
		c.drainPipes()
		if code, at, ok := c.r.Rescued[c.id].exit(); ok {
			c.onExit(code, at, false)
			return
		}
		if known {
			c.onExit(code, at, false)
			return
		}
		c.onExit(shimLost, c.r.Now(), true)
	case planner.Restarting:
		c.backOff()
	case planner.Stopping:
		c.drainPipes()
		code, at, ok := c.r.Rescued[c.id].exit()
		if !ok {
			code, at = shimLost, c.r.Now()
		}
		c.onExit(code, at, false)
	case planner.Created:
		if wanted {
			c.r.log.Warn("a container was never started", "container", c.name)
		}
	}
}
