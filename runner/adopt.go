package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/stray"
	"github.com/orlop/orlop/runner/supervisor"
)

// adopt takes over the containers of an earlier engine. What was never finished
// is removed; what can't be read, or is somebody else's, is left alone.
func (r *Runner) adopt(ctx context.Context) error {
	docs, err := r.records.Statuses()
	if err != nil {
		return err
	}
	if err := r.topology.Restore(ctx); err != nil {
		return err
	}
	left, err := r.readContainers(ctx, docs)
	if err != nil {
		return err
	}
	learned := map[string]bool{}
	for _, rec := range r.allRecords() {
		if !learned[rec.Project] {
			learned[rec.Project] = true
			r.payloads.Learn(rec.Project, r.maker().Copies(rec.Project))
		}
	}
	r.adoptAll(ctx)
	close(r.adopted)
	for _, rescued := range r.Rescued {
		rescued.Close()
	}
	r.removeStrayFiles(left)
	has := func(volume string) bool { return supervisor.HaveVolume(r.allRecords(), volume) }
	r.volumes.RemoveBound(func(id string) bool { return r.lookup(id) != nil || left[id] }, has)
	for _, id := range r.nets.Sandboxes() {
		if r.lookup(id) == nil && !left[id] {
			r.removeLeftovers(ctx, id)
		}
	}
	return nil
}

// readContainers makes the containers known of which containerd and the store
// tell, and removes halves of some. Nothing is to be taken from those that it
// has left alone, by ID.
func (r *Runner) readContainers(ctx context.Context, docs map[string][]byte) (left map[string]bool, err error) {
	existing, err := r.client.Containers(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot list containerd's containers: %w", err)
	}
	left = map[string]bool{}
	for _, ctr := range existing {
		id := ctr.ID()
		rec, err := r.records.Read(ctx, ctr, docs[id])
		switch {
		case err == nil:
			r.newContainer(&rec, ctr, false)
		case errors.Is(err, supervisor.ErrNoMetadata) && r.isOurs(id):
			r.log.Warn("a container was never finished; it is removed", "container", id)
			r.removeContainer(ctx, ctr)
			r.removeLeftovers(ctx, id)
		default:
			r.log.Warn("cannot take over a container: it is left alone, and can be removed with ctr", "container", id, "error", err)
			r.shims.Join(id) // its parent is not to be ended
			left[id] = true
		}
	}
	for id := range docs {
		if r.lookup(id) == nil && !left[id] {
			r.log.Warn("a container is gone; its record is removed", "container", id)
			r.removeLeftovers(ctx, id)
			r.records.Delete(id)
		}
	}
	return left, nil
}

// isOurs says whether an engine of ours began to make a container: its
// directory comes first. Others may have some in our namespace.
func (r *Runner) isOurs(id string) bool {
	_, err := os.Stat(r.dir(id))
	return err == nil
}

// adoptAll takes over the containers that are known by now.
func (r *Runner) adoptAll(ctx context.Context) {
	list := r.all()
	for _, shares := range []bool{false, true} { // who shares a network has the addresses of its owner
		for _, c := range list {
			if rec := c.snapshot(); rec.State == supervisor.Unknown && isSharer(&rec) == shares {
				c.readdress()
			}
		}
	}
	var wg sync.WaitGroup
	for _, c := range list {
		wg.Go(func() { c.adopt(ctx) })
	}
	wg.Wait()
}

// removeContainer removes a container that is under no supervision, and its
// task, from containerd.
func (r *Runner) removeContainer(ctx context.Context, ctr containerd.Container) {
	r.deleteLeft(ctx, ctr)
	if err := ctr.Delete(ctx, containerd.WithSnapshotCleanup); err != nil {
		r.log.Warn("cannot delete a container", "container", ctr.ID(), "error", err)
	}
}

// deleteLeft deletes the task of a container that is under no supervision, if there
// is one.
func (r *Runner) deleteLeft(ctx context.Context, ctr containerd.Container) {
	task, err := ctr.Task(ctx, nil)
	if err == nil {
		_, err = task.Delete(ctx, containerd.WithProcessKill)
	}
	if err != nil && !errdefs.IsNotFound(err) {
		r.log.Warn("cannot delete a task", "container", ctr.ID(), "error", err)
		return // its shim has it still
	}
	r.wg.Go(func() { r.shims.Deleted(r.ctx, ctr.ID()) })
}

// adopt takes over a container that an earlier engine made.
func (c *container) adopt(ctx context.Context) {
	stray.RemovePipes(c.r.fifoDir(c.id)) // of probes: nobody reads them any more
	task, err := c.ctr.Task(ctx, c.attachStreams)
	if err != nil {
		if !errdefs.IsNotFound(err) {
			c.r.log.Warn("cannot look at a task", "container", c.name, "error", err)
			// It is there and can't be taken over: it must not run on beside its
			// successor.
			if lost, err := c.ctr.Task(ctx, nil); err == nil {
				c.deleteTask(ctx, lost, false)
			}
		}
		c.adoptWithoutTask(true)
		return
	}
	status, err := task.Status(ctx)
	if err != nil || status.Status == containerd.Created {
		if err != nil {
			c.r.log.Warn("cannot look at a task", "container", c.name, "error", err)
		}
		c.deleteTask(ctx, task, false)
		c.adoptWithoutTask(false)
		return
	}
	c.adoptTask(ctx, task, status)
}

// adoptTask takes over a process that runs, or has ended while no engine was
// there.
func (c *container) adoptTask(ctx context.Context, task containerd.Task, status containerd.Status) {
	end, joined := newEnding(), c.r.shims.Join(c.id)
	c.mu.Lock()
	c.task, c.ending, c.shim, c.unsure = task, end, joined, true
	c.mu.Unlock()
	exits, err := task.Wait(context.WithoutCancel(ctx))
	if err != nil {
		c.r.log.Warn("cannot wait for a task", "container", c.name, "error", err)
	}
	paused := status.Status == containerd.Paused || status.Status == containerd.Pausing
	if status.Status == containerd.Running || paused {
		c.hold(task)
		if err := c.r.publish(ctx, nil, c); err != nil {
			c.r.log.Warn("cannot publish a port again", "container", c.name, "error", err)
		}
		c.apply(supervisor.Adopted{Process: supervisor.ProcessRunning, Paused: paused, Now: c.r.Now()})
	} else {
		c.apply(supervisor.Adopted{Process: supervisor.ProcessEnded, Code: int(status.ExitStatus), At: status.ExitTime, Now: c.r.Now()})
	}
	c.r.wg.Go(func() { c.await(task, exits, end) })
}

// adoptWithoutTask deals with a container whose process is not there: it was
// never started, had ended, or went with a reboot or its shim. isForgotten says that
// containerd knows no task, which may have ended unseen.
func (c *container) adoptWithoutTask(isForgotten bool) {
	c.mu.Lock()
	stays := c.state.State != supervisor.Unknown && !c.state.HasProcess()
	c.returns = !stays || c.state.State == planner.Restarting
	c.mu.Unlock()
	e := supervisor.Adopted{Process: supervisor.ProcessAbsent}
	if !stays {
		if c.r.shims.IsKnownToRunc(c.id) {
			c.r.shims.DeleteLost(c.r.ctx, c.id) // it must not run on unmanaged
		}
		c.r.endProcesses(c.r.ctx, c.id)
		c.drainPipes()
	}
	if !stays || isForgotten {
		if code, at, ok := c.r.Rescued[c.id].Result(); ok {
			e.Code, e.At = code, at
		}
	}
	e.Now = c.r.Now()
	c.apply(e)
}
