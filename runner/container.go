package runner

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	containerd "github.com/containerd/containerd/v2/client"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/logs"
)

// container is the supervisor of one container: a small state machine with
// one method per event. Its state has one writer, the method that holds mu;
// what is done about it (start, stop, remove) is serialised by op.
//
//	created -> running -> exited
//	             |  ^        |
//	        stopping |    restarting (back-off), and back to running
type container struct {
	r       *Runner
	id      string // these three never change
	project string
	name    string

	over chan struct{} // closed when nothing more follows from the end of its process

	op opLock // held by whoever starts, stops or removes the container

	mu       sync.Mutex
	rec      *record              // guarded by mu
	ctr      containerd.Container // guarded by mu
	task     containerd.Task      // guarded by mu; nil when no process is there
	pidfd    *os.Process          // guarded by mu; the first process, by its descriptor
	streams  *streams             // guarded by mu; of the present task
	last     *planner.ProbeInfo   // guarded by mu
	ending   *ending              // guarded by mu; of the present process, or the last
	prober   context.CancelFunc   // guarded by mu; ends the present prober
	retry    *time.Timer          // guarded by mu; runs during a back-off
	retryAt  time.Time            // guarded by mu
	delay    time.Duration        // guarded by mu; of the last back-off
	oom      bool                 // guarded by mu; the kernel killed something of it
	gone     bool                 // guarded by mu; removed
	shim     *shim                // guarded by mu; the task's parent
	pending  bool                 // guarded by mu; made to replace one that is still there
	yields   bool                 // guarded by mu; another is about to take its place, and its ports
	detached bool                 // guarded by mu; the engine ends, the container lives on

	log *logs.Log
	tap *tap // who is attached to its streams
}

// ending is the end of a process, in two steps.
type ending struct {
	gone    chan struct{} // closed when nothing of the process runs any more
	settled chan struct{} // closed when containerd has forgotten it, too, and its end is on record
}

func newEnding() *ending {
	return &ending{gone: make(chan struct{}), settled: make(chan struct{})}
}

func (r *Runner) newContainer(rec *record, ctr containerd.Container) *container {
	c := &container{
		r: r, id: rec.ID, project: rec.Project, name: rec.Name, rec: rec, ctr: ctr,
		log: r.openLog(rec), tap: newTap(), over: make(chan struct{}),
	}
	r.mu.Lock()
	r.containers[rec.ID] = c
	r.mu.Unlock()
	return c
}

// observe is the container as the planner and the user see it.
func (c *container) observe() planner.Container {
	c.mu.Lock()
	defer c.mu.Unlock()
	rec := c.rec
	out := planner.Container{
		ID: rec.ID, Name: rec.Name, Service: rec.Service, Number: rec.Number, OneOff: rec.OneOff,
		State: rec.State, Health: rec.Health, ExitCode: rec.ExitCode, OOMKilled: rec.OOMKilled, Stopped: rec.Stopped,
		Restarts: rec.Restarts, CreatedAt: rec.CreatedAt, StartedAt: rec.StartedAt, ExitedAt: rec.ExitedAt,
		NextTry: c.retryAt, Error: rec.Error, Applied: rec.Applied, Addresses: rec.Addresses,
		LeftOut: rec.LeftOut, Published: rec.Published, Exposed: rec.Exposed, Version: rec.Version, Command: rec.Command, LastProbe: c.last,
	}
	if rec.State == planner.Exited && !c.yields {
		out.Published = nil // nobody answers there; who is being replaced is as good as back
	}
	if c.task != nil && rec.State != planner.Exited {
		out.PID = int(c.task.Pid())
	}
	return out
}

// snapshot is the record as it is now. What it points to is never changed.
func (c *container) snapshot() record {
	c.mu.Lock()
	defer c.mu.Unlock()
	return *c.rec
}

// set changes the record under the lock, keeps it, and tells the watchers.
func (c *container) set(change func(rec *record)) {
	c.mu.Lock()
	change(c.rec)
	if !c.gone {
		c.r.save(c.rec) // under the lock, so that the last change is the last one kept
	}
	c.mu.Unlock()
	c.r.changed(c.project, c.id)
}

// onStarted is the event that its process runs.
func (c *container) onStarted(task containerd.Task, at time.Time) {
	c.mu.Lock()
	c.task = task
	c.oom = false
	c.retryAt = time.Time{}
	c.mu.Unlock()
	c.set(func(rec *record) {
		rec.Health = planner.NoHealth
		if rec.Probe != nil {
			rec.Health = planner.Starting
		}
		rec.State, rec.StartedAt, rec.Wanted, rec.Stopped, rec.Error = planner.Running, at, true, false, ""
		rec.ExitCode, rec.OOMKilled = 0, false
	})
	c.names(true)
	c.route()
	c.probe()
}

// onExit is the event that its process has ended. What follows is decided
// here: done, removed, or tried again after a while.
func (c *container) onExit(code int, at time.Time, lost bool) {
	c.mu.Lock()
	if c.prober != nil {
		c.prober()
		c.prober = nil
	}
	ran := at.Sub(c.rec.StartedAt)
	stopped := c.rec.Stopped || c.rec.State == planner.Stopping
	oom := c.oom
	if ran >= steadyAfter {
		c.delay = 0
	}
	again := !stopped && !c.detached && !c.gone && c.shouldRestart(code)
	c.mu.Unlock()

	c.names(false)
	c.unroute(again)
	c.set(func(rec *record) {
		rec.ExitCode, rec.ExitedAt, rec.OOMKilled, rec.Health = code, at, oom, planner.NoHealth
		rec.State = planner.Exited
		if again {
			rec.State = planner.Restarting
		}
		if lost {
			rec.Error = "its shim was lost"
		}
	})
	if again {
		c.backOff()
	}
}

// names makes the container's names resolve, or not.
func (c *container) names(active bool) {
	if _, ok := c.r.nets.Sandbox(c.id); !ok {
		return
	}
	if err := c.r.nets.SetNames(c.id, active); err != nil {
		c.r.log.Warn("cannot change what a container's names resolve to", "container", c.name, "error", err)
	}
}

// Bounds of the back-off between restarts.
const (
	firstDelay  = 100 * time.Millisecond
	lastDelay   = time.Minute
	steadyAfter = 10 * time.Second
)

// shouldRestart applies the restart policy; the caller holds mu.
func (c *container) shouldRestart(code int) bool {
	policy, limit, _ := strings.Cut(c.rec.Applied.Service.Restart, ":")
	switch policy {
	case "always", "unless-stopped":
		return true
	case "on-failure":
		return code != 0 && (limit == "" || c.rec.Restarts < number(limit))
	}
	return false
}

// backOff starts the container again after a while, twice the last one.
func (c *container) backOff() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.detached || c.gone {
		return
	}
	c.delay = min(max(2*c.delay, firstDelay), lastDelay)
	c.retryAt = c.r.Now().Add(c.delay)
	c.retry = time.AfterFunc(c.delay, func() {
		c.r.wg.Go(func() { c.onBackOffOver() })
	})
}

// onBackOffOver is the event that it is time for another try.
func (c *container) onBackOffOver() {
	c.op.Lock()
	defer c.op.Unlock()
	c.mu.Lock()
	waiting := c.rec.State == planner.Restarting && !c.detached && !c.gone
	if waiting {
		c.rec.Restarts++
	}
	c.mu.Unlock()
	if !waiting {
		return
	}
	if err := c.start(c.r.ctx); err != nil && !errors.Is(err, context.Canceled) {
		c.r.log.Warn("cannot restart a container", "container", c.name, "error", err)
		c.set(func(rec *record) { rec.Error = err.Error() })
		c.backOff()
	}
}

// cancelRetry ends a back-off.
func (c *container) cancelRetry() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.retry != nil {
		c.retry.Stop()
		c.retry = nil
	}
	c.retryAt = time.Time{}
}

// detach ends the supervision and leaves the container as it is.
func (c *container) detach() {
	c.mu.Lock()
	c.detached = true
	if c.prober != nil {
		c.prober()
		c.prober = nil
	}
	streams := c.streams
	c.mu.Unlock()
	c.cancelRetry()
	if streams != nil {
		streams.close()
		streams.Wait() // what was read of the pipes reaches the log
	}
	c.log.Suspend()
}

func (c *container) isDetached() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.detached
}

// isRunning says whether its process is there.
func (c *container) isRunning() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rec.State == planner.Running || c.rec.State == planner.Stopping
}

// isGone says whether it is being removed.
func (c *container) isGone() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gone
}

// isPending says whether it is about to take the place of another container.
func (c *container) isPending() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pending
}

func (c *container) setPending(pending bool) {
	c.mu.Lock()
	c.pending = pending
	c.mu.Unlock()
}

func (c *container) setYields(yields bool) {
	c.mu.Lock()
	c.yields = yields
	c.mu.Unlock()
}

func sortContainers(list []planner.Container) {
	slices.SortFunc(list, func(a, b planner.Container) int {
		if n := strings.Compare(a.Service, b.Service); n != 0 {
			return n
		}
		if a.Number != b.Number {
			return a.Number - b.Number
		}
		return a.CreatedAt.Compare(b.CreatedAt)
	})
}

func summarise(list []*container) []ProjectInfo {
	by := map[string]*ProjectInfo{}
	for _, c := range list {
		c.mu.Lock()
		info := by[c.project]
		if info == nil {
			info = &ProjectInfo{Name: c.project, WorkingDir: c.rec.WorkingDir, Files: c.rec.Files, Created: c.rec.CreatedAt}
			by[c.project] = info
		}
		if c.rec.CreatedAt.Before(info.Created) {
			info.Created = c.rec.CreatedAt
		}
		if c.rec.State == planner.Running || c.rec.State == planner.Restarting {
			info.Running++
		} else {
			info.Exited++
		}
		c.mu.Unlock()
	}
	out := make([]ProjectInfo, 0, len(by))
	for _, info := range by {
		out = append(out, *info)
	}
	slices.SortFunc(out, func(a, b ProjectInfo) int { return strings.Compare(a.Name, b.Name) })
	return out
}
