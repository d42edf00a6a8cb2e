package runner

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/failpoint"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/assembly"
	"github.com/orlop/orlop/runner/complaint"
	"github.com/orlop/orlop/runner/emulation"
	"github.com/orlop/orlop/runner/health"
	"github.com/orlop/orlop/runner/hook"
	"github.com/orlop/orlop/runner/inventory"
	"github.com/orlop/orlop/runner/oci"
	"github.com/orlop/orlop/runner/shim"
	"github.com/orlop/orlop/runner/supervisor"
	"github.com/orlop/orlop/runner/volume"
	"github.com/orlop/orlop/spec"
)

// Order is what the steps of one plan have in common.
type Order struct {
	Project, Separator string // the second of names, see assembly.Request
	WorkingDir         string
	Files              []string
	Images             map[string]string // service -> reference
	Grace              Grace
	Places             spec.Places
	Anonymous          bool // remove anonymous volumes with their containers
	Renew              bool // what replaces a container has volumes of its own where nobody named them
	Restarts           bool // a restart was asked for by name: it is told as one
	Plan               *planner.Plan
}

// Execute carries out the steps that concern networks, volumes and containers.
// The context bounds what is waited for: another command that is at work on a
// container, a container that is to be ready. What is begun is finished.
func (r *Runner) Execute(waits context.Context, o *Order, s *planner.Step, note func(planner.Event)) (planner.Result, error) {
	ctx, s := context.WithoutCancel(waits), s.Of(o.Project, r.Containers)
	switch s.Action {
	case planner.CreateNetwork:
		return r.createNetwork(ctx, o, s)
	case planner.AttachNetwork:
		return planner.Result{}, r.Wiring().Attach(ctx, s.Name, s.Container)
	case planner.UpdateNetwork:
		return planner.Result{Text: s.Mended()}, errors.Join(r.nets.Mend(ctx), r.topology.Relabel(s.Name, s.Network))
	case planner.UpdateVolume:
		return planner.Result{}, r.volumes.Relabel(s.Name, s.Volume)
	case planner.RemoveNetwork:
		return planner.Result{}, r.topology.Remove(ctx, s.Name)
	case planner.CreateVolume:
		made := &volume.Volume{Name: s.Name, Project: o.Project, Key: s.Resource, Applied: s.Volume}
		if s.OldVolume != nil {
			return planner.Result{}, r.volumes.Renew(made)
		}
		return planner.Result{}, r.volumes.Ensure(made)
	case planner.RemoveVolume:
		return planner.Result{}, r.Inventory().RemoveUnused(s.Name)
	case planner.RemoveImage:
		_, err := r.Inventory().RemoveImage(ctx, s.Name, false)
		if used, isUsed := errors.AsType[*inventory.UsedError](err); isUsed { // another stack's: this one is down all the same
			return planner.Result{Outcome: planner.Unchanged, Text: "stays: container " + used.Container + " is made of it"}, nil
		}
		return planner.Result{}, err
	case planner.Init:
		return planner.Result{}, complaint.Placed(r.runInit(waits, o, s, note), s.Applied.Service, o.Places)
	case planner.Create:
		return r.withSharers(waits, o, s, note, r.up)
	case planner.Replace:
		return r.withSharers(waits, o, s, note, r.replace)
	case planner.Update:
		return planner.Result{Text: s.Mended()}, r.update(waits, o, s)
	case planner.Unpause:
		if s.Applied != nil {
			if err := r.update(waits, o, s); err != nil {
				return planner.Result{}, err
			}
		}
	case planner.Await:
		return r.await(waits, o, s, note)
	}
	result, err := r.lifecycle(waits, o, s, note)
	if err == nil && s.Action == planner.Start {
		r.leadSharers(ctx, o, s.Service, note) // it may have been made without being started
	}
	return result, err
}

// request turns a step into what create needs.
func (o *Order) request(s *planner.Step, note func(planner.Event)) assembly.Request {
	warn := func(w oci.Warning) { note(planner.Event{Kind: planner.Warned, Text: w.Placed(s.Service, o.Places)}) }
	return assembly.Request{
		Project: o.Project, Separator: o.Separator, Service: s.Service, Number: s.Number, Image: s.Reference(o.Images), Applied: s.Applied,
		WorkingDir: o.WorkingDir, Files: o.Files, From: s.Container, Renew: o.Renew, Warn: warn,
	}
}

// up makes a container and starts it. One that can't be started leaves nothing.
func (r *Runner) up(waits context.Context, o *Order, s *planner.Step, note func(planner.Event)) (planner.Result, error) {
	ctx := context.WithoutCancel(waits)
	c, err := r.create(ctx, o.request(s, note))
	if err != nil {
		return planner.Result{}, complaint.Placed(err, s.Applied.Service, o.Places)
	}
	defer c.op.Unlock()
	if s.NoStart { // its ports are bound by its start
		return planner.Result{Text: "created"}, nil
	}
	if err := r.publish(ctx, o, c); err != nil {
		r.removeFailed(ctx, c)
		return planner.Result{}, complaint.Placed(err, s.Applied.Service, o.Places)
	}
	if err := c.begin(ctx, waits, note); err != nil {
		if !hook.Is(err) { // whose container has run, and stays to be looked at
			r.removeFailed(ctx, c)
		}
		return planner.Result{}, complaint.Placed(err, s.Applied.Service, o.Places)
	}
	return planner.Result{}, nil
}

// removeFailed removes a container that could not take up its work.
func (r *Runner) removeFailed(ctx context.Context, c *container) {
	if err := c.remove(context.WithoutCancel(ctx), Grace{Set: true, Bare: true}, true); err != nil {
		r.log.Warn("cannot remove a container that could not be started", "container", c.name, "error", err)
	}
}

// update changes a container in place: limits, policy, ports, health check.
func (r *Runner) update(waits context.Context, o *Order, s *planner.Step) error {
	c := r.lookup(s.Container)
	if c == nil {
		return fmt.Errorf("%s is gone: run the command again", s.Resource)
	}
	if err := c.op.Lock(waits); err != nil {
		return err
	}
	defer c.op.Unlock()
	ctx := context.WithoutCancel(waits)
	rec := c.snapshot()
	before := rec.Applied
	publish := func() error {
		if rec.State == planner.Created { // its ports are bound by its start
			return nil
		}
		return r.publish(ctx, o, c)
	}
	err := r.adjust(ctx, c, s.Applied)
	if err == nil {
		err = publish()
	}
	if err == nil {
		err = errors.Join(r.nets.MendSandbox(ctx, c.id), r.Wiring().Return(ctx, c.snapshot()))
		if _, ok := r.nets.Sandbox(c.id); ok && err == nil { // back on a network, it may have another address
			err = c.noteAddresses()
		}
	}
	if err != nil {
		// What could not be changed must not count as applied.
		err = complaint.Placed(err, s.Applied.Service, o.Places)
		if back := errors.Join(r.adjust(ctx, c, before), publish()); back != nil {
			r.log.Warn("cannot undo a change", "container", c.name, "error", back)
		}
	}
	c.route()
	return err
}

// adjust makes what can be changed in place as a new document wants it: policy,
// health check, stop signal, limits and labels.
func (r *Runner) adjust(ctx context.Context, c *container, want *planner.Applied) error {
	rec := c.snapshot()
	applied := *want
	applied.Image, applied.Images, applied.Borrowed = rec.Applied.Image, rec.Applied.Images, rec.Applied.Borrowed
	if reflect.DeepEqual(&applied, rec.Applied) {
		return nil
	}
	if err := oci.Check(rec.Service, applied.Service); err != nil {
		return err
	}
	img, err := r.Images.Get(ctx, rec.Image, applied.Service.PlatformOn(emulation.Machine()))
	if err != nil {
		return err
	}
	made := assembly.Adjusted(rec.Metadata, &applied, img)
	err = c.limit(ctx, applied.Service, rec.Applied.Service)
	failpoint.Hit("runner/limits-set")
	if err == nil {
		err = c.amend(ctx, made, func(doc *specs.Spec) { oci.SetLimits(doc, applied.Service) })
	}
	if err != nil {
		if back := c.limit(context.WithoutCancel(ctx), rec.Applied.Service, applied.Service); back != nil {
			r.log.Warn("cannot undo a change", "container", c.name, "error", back)
		}
		return err
	}
	failpoint.Hit("runner/change-recorded")
	c.apply(supervisor.Updated{Terms: made.Terms(), Recheck: !reflect.DeepEqual(made.Probe, rec.Probe), At: r.Now()})
	return nil
}

// await waits until the containers of a service meet a condition.
func (r *Runner) await(ctx context.Context, o *Order, s *planner.Step, note func(planner.Event)) (planner.Result, error) {
	text, err := r.watched(o.Project).Await(ctx, s, func(err error) error { return r.explain(o.Project, s.Service, err) },
		func(text string) { note(planner.Event{Text: text}) })
	return planner.Result{Text: text}, err
}

// Verify says which containers of the steps ended with a failure since they
// were started: a step is done when its program runs, and some do not for long.
func (r *Runner) Verify(project string, steps []*planner.Step) map[string]error {
	failed := map[string]error{}
	for _, c := range r.Containers(project) {
		if c.OneOff || c.State != planner.Exited || c.ExitCode == 0 || c.Stopped {
			continue
		}
		for _, s := range steps {
			if s.Service != c.Service || s.Number != c.Number || s.NoStart {
				continue
			}
			switch s.Action {
			case planner.Create, planner.Replace, planner.Start, planner.Restart:
				failed[s.ID] = &complaint.Failed{Text: health.ExitError(&c).Error(), Last: r.LastLines(c.ID, 20)}
			}
		}
	}
	return failed
}

// limit changes the cgroup limits of a container whose process is there.
func (c *container) limit(ctx context.Context, s, was *spec.Service) error {
	c.mu.Lock()
	task, made := c.task, c.made
	if c.unsure { // a change may have been cut off between the limits and the record
		was = nil
	}
	c.mu.Unlock()
	if task == nil {
		return nil
	}
	err := task.Update(ctx, containerd.WithResources(oci.Limits(s, was)))
	if err == nil {
		c.mu.Lock()
		c.unsure = false
		c.mu.Unlock()
	}
	if err != nil && (shim.IsGone(err) || errdefs.IsNotFound(err)) { // the process is lost with its shim, and the next one has them from its document
		return nil
	}
	if err != nil {
		return complaint.Limits(err, made)
	}
	return nil
}

// lifecycle carries out start, stop, restart, kill and remove.
func (r *Runner) lifecycle(waits context.Context, o *Order, s *planner.Step, note func(planner.Event)) (planner.Result, error) {
	c := r.lookup(s.Container)
	if c == nil {
		return planner.Result{Outcome: planner.Unchanged}, nil
	}
	if s.Action == planner.Kill {
		return planner.Result{}, c.kill(waits, s.Signal)
	}
	if err := c.op.Lock(waits); err != nil {
		return planner.Result{}, err
	}
	defer c.op.Unlock()
	ctx := context.WithoutCancel(waits)
	switch s.Action {
	case planner.Start:
		if s.Applied != nil {
			if err := r.adjust(ctx, c, s.Applied); err != nil {
				return planner.Result{}, err
			}
		}
		if err := r.publish(ctx, o, c); err != nil {
			return planner.Result{}, complaint.Placed(err, c.snapshot().Applied.Service, o.Places)
		}
		c.apply(supervisor.StartAsked{})
		return planner.Result{}, complaint.Placed(c.begin(ctx, waits, note), c.snapshot().Applied.Service, o.Places)
	case planner.Pause:
		return planner.Result{}, c.pause(ctx)
	case planner.Unpause:
		if len(s.Reasons) == 0 && !c.snapshot().Paused {
			return planner.Result{}, fmt.Errorf("%s is not paused", c.name)
		}
		return planner.Result{}, c.unpause(ctx)
	case planner.Stop:
		grace := withSignal(o.Grace, s.Signal)
		grace.Say = linesOf(note)
		return planner.Result{}, complaint.Placed(c.stop(ctx, grace, true), c.snapshot().Applied.Service, o.Places)
	case planner.Restart:
		if c.recovered(ctx, s) {
			return planner.Result{Outcome: planner.Unchanged, Text: "its parent answers again"}, nil
		}
		return planner.Result{Text: s.Mended()}, complaint.Placed(c.restart(ctx, waits, o, s, note), c.snapshot().Applied.Service, o.Places)
	case planner.Remove:
		return planner.Result{}, complaint.Placed(c.remove(ctx, o.Grace, o.Anonymous), c.snapshot().Applied.Service, o.Places)
	}
	return planner.Result{}, fmt.Errorf("internal error: no way to %s %s", s.Action, s.Resource)
}

// restart stops the container and starts it again; the caller holds op.
func (c *container) restart(ctx, waits context.Context, o *Order, s *planner.Step, note func(planner.Event)) error {
	grace := withSignal(o.Grace, s.Signal)
	if err := c.loseHung(ctx); err != nil {
		return err
	}
	rec := c.snapshot()
	if err := volume.CheckSources(rec.Applied, rec.LeftOut); err != nil && rec.State == planner.Running {
		return fmt.Errorf("cannot restart %s, which runs on: %w", c.name, err)
	}
	c.setYields(true) // to itself: its ports wait
	c.lead(nil, true)
	c.drainTraffic(ctx, grace)
	err := c.stop(ctx, grace, false)
	c.setYields(false)
	if err != nil {
		c.route() // it goes on
		return err
	}
	c.apply(supervisor.StartAsked{Restart: o.Restarts})
	return c.begin(ctx, waits, note)
}
