package runner

import (
	"context"
	"errors"
	"os"
	"reflect"
	"sync"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/freezer"
	"github.com/orlop/orlop/runner/logs"
	"github.com/orlop/orlop/runner/network"
	"github.com/orlop/orlop/runner/op"
	"github.com/orlop/orlop/runner/record"
	"github.com/orlop/orlop/runner/shim"
	"github.com/orlop/orlop/runner/stdio"
	"github.com/orlop/orlop/runner/supervisor"
)

// container is one container under supervision. What happens to it goes through
// apply (see supervisor.go); what is done to it (start, stop, remove) is
// serialised by op.
type container struct {
	r       *Runner
	id      string // these five never change
	project string
	name    string
	ctr     containerd.Container
	foreign bool // its shim is not the engine's: the process that it tells of may be one of the machine's, such as a hypervisor

	over chan struct{} // closed when nothing more follows from the end of its process

	op   op.Lock    // held by whoever starts, stops or removes the container
	turn sync.Mutex // held while an event is dealt with, so that effects come in the order of events

	mu       sync.Mutex
	made     *supervisor.Metadata // guarded by mu; another in its place when it changes
	state    supervisor.State     // guarded by mu; changed by apply alone
	task     containerd.Task      // guarded by mu; nil when no process is there
	pidfd    *os.Process          // guarded by mu; the first process, by its descriptor
	streams  *stdio.Pipes         // guarded by mu; of the present task
	last     *planner.ProbeInfo   // guarded by mu
	ending   *ending              // guarded by mu; of the present process, or the last
	prober   context.CancelFunc   // guarded by mu; ends the present prober
	probing  <-chan struct{}      // guarded by mu; closed when the present prober has ended, or the last
	retry    *time.Timer          // guarded by mu; runs during a back-off
	patience *op.Patience         // guarded by mu; of the process that has time to end, or the last
	shim     *shim.Shim           // guarded by mu; the task's parent
	unsure   bool                 // guarded by mu; its process is an earlier engine's, whose limits may not be those on record
	pending  bool                 // guarded by mu; made to replace one that is still there
	yields   bool                 // guarded by mu; another is about to take its place, and its ports
	detached bool                 // guarded by mu; the engine ends, the container lives on
	returns  bool                 // guarded by mu; it comes back after its process was lost with the engine before

	log   *logs.Log
	tap   *stdio.Tap // who is attached to its streams
	claim freezer.Claim
}

// ending is the end of a process, in two steps.
type ending struct {
	exited chan struct{} // closed when nothing of the process runs any more
	reaped chan struct{} // closed when containerd has forgotten it, too, and its end is on record
	code   int           // once it is reaped
}

// isOver says that nothing of the process runs any more.
func (e *ending) isOver() bool {
	select {
	case <-e.exited:
		return true
	default:
		return false
	}
}

func newEnding() *ending {
	return &ending{exited: make(chan struct{}), reaped: make(chan struct{})}
}

// newContainer knows a container from here on. Whoever has just made it holds
// op before anybody else can.
func (r *Runner) newContainer(rec *supervisor.Record, ctr containerd.Container, held bool) *container {
	made := rec.Metadata
	c := &container{
		r: r, id: rec.ID, project: rec.Project, name: rec.Name, ctr: ctr, foreign: ctr != nil && shim.IsForeign(ctr),
		made: &made, state: supervisor.State{Status: rec.Status, Terms: made.Terms()},
		log: r.openLog(rec), tap: stdio.NewTap(), over: make(chan struct{}),
	}
	if held {
		_ = c.op.Lock(context.Background()) // it is free
	}
	r.mu.Lock()
	r.containers[rec.ID] = c
	r.mu.Unlock()
	return c
}

// amend changes what a container was made from, and the document of its next
// process; see record.Amend. The caller holds op.
func (c *container) amend(ctx context.Context, made supervisor.Metadata, doc func(*specs.Spec)) error {
	if err := record.Amend(ctx, c.ctr, &made, doc); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.made = &made
	return nil
}

// observe is the container as the planner and the user see it.
func (c *container) observe() planner.Container {
	unsent := c.log.Unsent()
	c.mu.Lock()
	defer c.mu.Unlock()
	m, s := c.made, &c.state
	out := planner.Container{
		ID: m.ID, Name: m.Name, Project: m.Project, WorkingDir: m.WorkingDir, ConfigFiles: m.Files, Service: m.Service, Number: m.Number, OneOff: m.OneOff,
		State: s.State, Paused: s.Paused, FrozenAt: s.FrozenAt, Signal: s.Signal, SignalledAt: s.SignalledAt, RestartedAt: s.RestartedAt, UpdatedAt: s.UpdatedAt, Health: s.Health, ExitCode: s.ExitCode, OOMKilled: s.OOMKilled, Stopped: s.Stopped,
		Restarts: s.Restarts, CreatedAt: m.CreatedAt, StartedAt: s.StartedAt, ExitedAt: s.ExitedAt,
		NextTry: s.RetryAt, Error: s.Error, Applied: m.Applied, Addresses: s.Addresses,
		LeftOut: m.LeftOut, Unready: s.Unready, Unsent: unsent, Published: s.Published, Exposed: m.Exposed, Version: m.Version, Command: m.Command, LastProbe: c.last,
	}
	if m.Applied != nil {
		out.Networks = m.NetworkNames()
	}
	if s.State == planner.Exited && !c.yields {
		out.Published = nil // nobody answers there; who is being replaced is as good as back
	}
	if c.task != nil && s.HasProcess() && !c.foreign { // it has no number before, and the start sets it
		out.PID = int(c.task.Pid())
	}
	return out
}

// snapshot is the record as it is now. What it points to is never changed.
func (c *container) snapshot() supervisor.Record {
	c.mu.Lock()
	defer c.mu.Unlock()
	return supervisor.Record{Metadata: *c.made, Status: c.state.Status}
}

// apply deals with an event: it changes the state, saves it, tells the watchers
// and performs what follows.
func (c *container) apply(e supervisor.Event) {
	c.turn.Lock()
	defer c.turn.Unlock()
	c.mu.Lock()
	before := c.state
	c.mu.Unlock()
	s, effects := supervisor.Next(before, e)
	if !s.Removing && !reflect.DeepEqual(s.Status, before.Status) { // the store is to have nothing of what is removed
		c.r.records.Save(c.id, s.Status) // before anybody sees it
	}
	c.mu.Lock()
	c.state = s
	c.mu.Unlock()
	c.r.feed.Tell(c.project, c.id)
	for _, f := range effects {
		c.perform(f)
	}
}

// perform does what a change of state asks for. It waits for no process.
func (c *container) perform(f supervisor.Effect) {
	switch f := f.(type) {
	case supervisor.ResolveNames:
		c.names(bool(f))
	case supervisor.RoutePorts:
		c.route()
	case supervisor.ParkPorts:
		c.unroute(f.Again)
	case supervisor.StartProbes:
		c.startProbes()
	case supervisor.StopProbes:
		c.stopProbes()
	case supervisor.AwaitRetry:
		c.awaitRetry(f.Due)
	case supervisor.CancelRetry:
		c.cancelRetry()
	case supervisor.TryStart:
		c.r.wg.Go(c.tryStart)
	case supervisor.KillProcess:
		c.r.wg.Go(c.killStopping)
	case supervisor.Warn:
		c.r.log.Warn(string(f), "container", c.name)
	default:
		panic("internal error: an effect that nobody performs")
	}
}

// names makes the container's names resolve, or not.
func (c *container) names(active bool) {
	err := c.r.nets.SetNames(c.id, active)
	if err != nil && !errors.Is(err, network.ErrNoSandbox) { // it shares another's, or has none
		c.r.log.Warn("cannot change what a container's names resolve to", "container", c.name, "error", err)
	}
}

// awaitRetry lets the end of a back-off be told.
func (c *container) awaitRetry(due time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.detached {
		return
	}
	c.retry = time.AfterFunc(due.Sub(c.r.Now()), func() {
		c.r.wg.Go(func() { c.apply(supervisor.BackOffOver{Due: due}) })
	})
}

// cancelRetry ends a back-off.
func (c *container) cancelRetry() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.retry != nil {
		c.retry.Stop()
		c.retry = nil
	}
}

// tryStart starts the container after a back-off, unless somebody was faster.
func (c *container) tryStart() {
	c.awaitOthers()
	if c.op.Lock(c.r.ctx) != nil {
		return // the next engine tries
	}
	defer c.op.Unlock()
	if c.snapshot().State != planner.Restarting {
		return
	}
	if err := c.start(c.r.ctx); err != nil && !errors.Is(err, context.Canceled) {
		c.r.log.Warn("cannot restart a container", "container", c.name, "error", err)
		c.apply(supervisor.StartFailed{Reason: err.Error(), Now: c.r.Now()})
	}
}

// killStopping kills a process that was being stopped when the engine before
// was lost.
func (c *container) killStopping() {
	if c.op.Lock(c.r.ctx) != nil {
		return
	}
	defer c.op.Unlock()
	if err := c.stop(c.r.ctx, Grace{Set: true, Bare: true}, false); err != nil {
		c.r.log.Warn("cannot stop", "container", c.name, "error", err)
	}
}

// detach ends the supervision and leaves the container as it is.
func (c *container) detach() {
	c.mu.Lock()
	c.detached = true
	streams := c.streams
	c.mu.Unlock()
	c.stopProbes()
	c.cancelRetry()
	if streams != nil {
		streams.Close()
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
	return c.state.HasProcess()
}

// isRemoving says whether it is being removed.
func (c *container) isRemoving() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state.Removing
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
