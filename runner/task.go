package runner

import (
	"context"
	"fmt"
	"os"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"

	"github.com/orlop/orlop/failpoint"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/complaint"
	"github.com/orlop/orlop/runner/oci"
	"github.com/orlop/orlop/runner/proc"
	"github.com/orlop/orlop/runner/shim"
	"github.com/orlop/orlop/runner/supervisor"
	"github.com/orlop/orlop/runner/userns"
)

// prepare makes the container's process without starting its program: mounts,
// namespaces and limits are set, so that start takes the least time.
func (c *container) prepare(ctx context.Context) error {
	c.mu.Lock()
	ready := c.task != nil
	c.mu.Unlock()
	if ready {
		return nil
	}
	if err := c.restore(ctx); err != nil {
		return err
	}
	alive, err := c.renew(ctx)
	if err != nil {
		return fmt.Errorf("cannot prepare %s: %w", c.name, err)
	}
	rec := c.snapshot()
	if err := c.log.Reach(ctx); err != nil {
		return &oci.KeyError{Service: rec.Service, Key: "logging", Text: err.Error(), Err: err}
	}
	if err := userns.Reachable(c.r.State, rec.Applied.Service); err != nil {
		return err
	}
	release, err := c.r.volumes.Ready(ctx, c.id, rec.Service, rec.Applied)
	if err != nil {
		return err
	}
	if len(proc.Processes(c.r.cgroupOf(c.id))) > 0 { // an engine that was killed had begun to make one
		c.r.endProcesses(ctx, c.id)
	}
	task, parent, err := c.r.shims.NewTask(ctx, c.project, rec.Applied.Service.NamedRuntime(), c.ctr, c.openStreams)
	if errdefs.IsAlreadyExists(err) { // the last one could not be deleted when it ended
		c.r.deleteLeft(ctx, c.ctr)
		task, parent, err = c.r.shims.NewTask(ctx, c.project, rec.Applied.Service.NamedRuntime(), c.ctr, c.openStreams)
	}
	release()
	if err != nil {
		c.dropPipes(ctx)
		rec := c.snapshot()
		return complaint.Start(err, &rec.Metadata)
	}
	failpoint.Hit("runner/process-made")
	c.mu.Lock()
	c.task, c.shim = task, parent
	c.streams.HandOver()
	c.mu.Unlock()
	if !alive() { // by now the namespaces may be those of somebody else's processes
		c.deleteTask(context.WithoutCancel(ctx), task, false)
		return fmt.Errorf("cannot prepare %s: the process whose namespace it shares has ended", c.name)
	}
	return nil
}

// restore makes anew what a reboot takes from a container that it leaves: the
// network namespace, the secrets' files.
func (c *container) restore(ctx context.Context) error {
	r := c.r
	rec := c.snapshot()
	shared := isSharer(&rec)
	if r.nets.IsLost(rec.ID) { // nothing could be started in it
		r.disconnect(ctx, rec.ID)
	}
	if _, ok := r.nets.Sandbox(rec.ID); !ok && rec.Netns != "" && !shared {
		fresh := rec
		fresh.Addresses = nil
		names, err := r.maker().Connect(ctx, &fresh)
		if err != nil {
			return err
		}
		if _, err := r.maker().Etc(&fresh, names); err != nil {
			return err
		}
		if fresh.Netns != rec.Netns {
			if err := c.amend(ctx, fresh.Metadata, nil); err != nil {
				return err
			}
		}
		c.apply(supervisor.Connected{Addresses: fresh.Addresses})
	}
	if shared {
		if err := c.rejoinNetwork(ctx); err != nil {
			return err
		}
	}
	if err := c.restoreShm(ctx, rec); err != nil {
		return err
	}
	if !r.secrets.Has(rec.ID, rec.Applied.Service) {
		_, err := r.maker().Files(&rec)
		return err
	}
	return nil
}

// renew brings a container's document up to date: what it was made with may be gone
// since it last ran. alive says, once its process is made, that the namespaces it shares
// were those of the processes that had them.
func (c *container) renew(ctx context.Context) (alive func() bool, err error) {
	doc, err := c.ctr.Spec(ctx)
	if err != nil {
		return nil, err
	}
	rec := c.snapshot()
	changed, err := c.r.maker().Renew(doc, &rec)
	if err != nil {
		return nil, err
	}
	joined, alive, err := c.joinProcesses(doc)
	if err != nil || !changed && !joined {
		return alive, err
	}
	return alive, c.ctr.Update(ctx, containerd.UpdateContainerOpts(containerd.WithSpec(doc)))
}

// start runs the container's program; the caller holds op.
func (c *container) start(ctx context.Context) error {
	switch c.snapshot().State {
	case planner.Running:
		return nil
	case planner.Stopping: // somebody gave up waiting for its end
		if err := c.stop(ctx, Grace{Set: true, Bare: true}, false); err != nil {
			return fmt.Errorf("cannot start %s again: %w", c.name, err)
		}
	}
	// Whoever starts it, its ports are to be there: a reboot takes the listeners
	// along, and a keeper that is lost does.
	if err := c.r.publish(ctx, nil, c); err != nil {
		return err
	}
	if err := c.prepare(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	task := c.task
	c.returns = false
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
		c.deleteTask(context.WithoutCancel(ctx), task, false)
		close(end.exited)
		close(end.reaped)
		rec := c.snapshot()
		return complaint.Start(err, &rec.Metadata)
	}
	failpoint.Hit("runner/process-started")
	c.hold(task)
	c.apply(supervisor.Started{At: began})
	c.r.wg.Go(func() { c.await(task, exits, end) })
	return nil
}

// hold keeps a descriptor of the first process. The exit is awaited already,
// so a process that has ended meanwhile is dealt with all the same.
func (c *container) hold(task containerd.Task) {
	if c.foreign {
		return
	}
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
	switch {
	case err == nil:
		c.reapExited(task, end, int(code), at)
	case c.r.ctx.Err() != nil:
		return
	default:
		c.reapLost(task, end)
	}
	c.autoRemove(context.WithoutCancel(c.r.ctx))
	c.closeOver()
}

// reapExited deals with a process that has ended.
func (c *container) reapExited(task containerd.Task, end *ending, code int, at time.Time) {
	close(end.exited)
	c.tap.End()
	oom := proc.OutOfMemory(c.r.cgroupOf(c.id))
	// The task knows how it ended until it is deleted; an engine that is
	// killed in between leaves it to the next one to read here.
	c.apply(supervisor.Ended{Code: code, At: at, OOM: oom})
	failpoint.Hit("runner/process-ended")
	end.code = code
	c.reap(task, supervisor.Exited{Code: code, At: at, OOM: oom})
	close(end.reaped)
}

// reapLost deals with a process that has lost its parent: nothing is to run on
// unmanaged. How it ended nobody knows.
func (c *container) reapLost(task containerd.Task, end *ending) {
	at := c.r.Now()
	c.killOrphan()
	c.tap.End()
	end.code = supervisor.ShimLost
	c.reap(task, supervisor.Exited{Code: supervisor.ShimLost, At: at, Lost: true})
	close(end.exited)
	close(end.reaped)
}

// reap deletes what is left of a process that has ended, and then its end is
// dealt with.
func (c *container) reap(task containerd.Task, e supervisor.Exited) {
	c.deleteTask(context.WithoutCancel(c.r.ctx), task, !e.Lost)
	e.Now = c.r.Now()
	c.apply(e)
}

// deleteTask deletes what is left of a process, once its streams are drained; one that may run is killed first.
func (c *container) deleteTask(ctx context.Context, task containerd.Task, ended bool) {
	err := failpoint.Fail("runner/deleting-process")
	if err == nil {
		err = shim.Delete(ctx, task, ended)
	}
	switch {
	case err == nil || errdefs.IsNotFound(err):
	case shim.IsGone(err):
		c.r.shims.DeleteLost(ctx, c.id)
	default:
		c.r.log.Warn("cannot delete a task", "container", c.name, "error", err)
	}
	c.dropPipes(ctx)
	c.mu.Lock()
	var in *shim.Shim
	if c.task == task {
		in, c.task, c.shim = c.shim, nil, nil
		if c.pidfd != nil {
			_ = c.pidfd.Release()
			c.pidfd = nil
		}
	}
	c.mu.Unlock()
	if in != nil {
		c.r.shims.Release(ctx, in, c.id, err)
	}
}
