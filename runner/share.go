package runner

import (
	"context"
	"fmt"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/supervisor"
)

// A container may share the network namespace of another (Compose
// Specification, network_mode: "service:..." and "container:..."). It has that
// of its owner at the moment when it is started: a process can't change it, so
// whoever shares is restarted when its owner is made anew.

// share notes whose network namespace a container uses.
func (r *Runner) share(rec *supervisor.Record) error {
	of := r.ownerOf(rec)
	if of == nil {
		mode, other, _ := strings.Cut(rec.Applied.Service.NetworkMode, ":")
		return fmt.Errorf("services.%s.network_mode: no container of %s %q is there to share the network of: run \"orlop up\"", rec.Service, mode, other)
	}
	owner := of.snapshot()
	rec.Netns, rec.Addresses = owner.Netns, slices.Clone(owner.Addresses)
	r.topology.Join(rec.Netns, rec.Applied.Service)
	return nil
}

// isSharer says whether a container has no network of its own.
func isSharer(rec *supervisor.Record) bool {
	mode, _, _ := strings.Cut(rec.Applied.Service.NetworkMode, ":")
	return mode == "service" || mode == "container"
}

// ownerOf is the container whose network namespace another is to share, or nil.
func (r *Runner) ownerOf(rec *supervisor.Record) *container {
	mode, other, _ := strings.Cut(rec.Applied.Service.NetworkMode, ":")
	for _, c := range r.Containers("") {
		of := r.lookup(c.ID)
		if of == nil || c.ID == rec.ID {
			continue
		}
		switch {
		case mode == "service" && c.Service == other && !c.OneOff && of.project == rec.Project,
			mode == "container" && (c.Name == other || c.ID == other):
			return of
		}
	}
	return nil
}

// isAdrift says whether a container shares a network namespace that is not its
// owner's any more.
func (r *Runner) isAdrift(rec *supervisor.Record) bool {
	if !isSharer(rec) {
		return false
	}
	of := r.ownerOf(rec)
	return of != nil && of.snapshot().Netns != rec.Netns
}

// rejoinNetwork gives a sharer that is about to start the namespace that its owner
// has now.
func (c *container) rejoinNetwork(ctx context.Context) error {
	rec := c.snapshot()
	fresh := rec
	if err := c.r.share(&fresh); err != nil {
		return fmt.Errorf("cannot start %s: %w", c.name, err)
	}
	if fresh.Netns == rec.Netns {
		return nil
	}
	err := c.amend(ctx, fresh.Metadata, func(doc *specs.Spec) {
		doc.Linux.Namespaces = slices.DeleteFunc(doc.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.NetworkNamespace })
		if fresh.Netns != "" {
			doc.Linux.Namespaces = append(doc.Linux.Namespaces, specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: fresh.Netns})
		}
	})
	if err != nil {
		return fmt.Errorf("cannot start %s: %w", c.name, err)
	}
	c.apply(supervisor.Connected{Addresses: fresh.Addresses})
	return nil
}

// stepFunc carries out a step that makes a container, alone or in the place of another.
type stepFunc func(ctx context.Context, o *Order, s *planner.Step, note func(planner.Event)) (planner.Result, error)

// withSharers makes a container, and has those follow who share its network: it may
// have been there before, and gone.
func (r *Runner) withSharers(ctx context.Context, o *Order, s *planner.Step, note func(planner.Event), execute stepFunc) (planner.Result, error) {
	result, err := execute(ctx, o, s, note)
	if err == nil && !s.NoStart {
		r.leadSharers(context.WithoutCancel(ctx), o, s.Service, note)
	}
	return result, err
}

// leadSharers restarts who shares the network of a service that was made anew
// and has no step of its own in the plan: a one-off, a container of
// another project. A one-off that somebody is attached to is left to whoever
// that is: its end would be taken for the command's.
func (r *Runner) leadSharers(ctx context.Context, o *Order, service string, note func(planner.Event)) {
	r.mu.Lock()
	list := make([]*container, 0, len(r.containers))
	for _, c := range r.containers {
		list = append(list, c)
	}
	r.mu.Unlock()
	for _, c := range list {
		if o.concerns(c.id) || !r.isLeftBehind(c, o.Project, service) {
			continue
		}
		if err := r.restartLeftBehind(ctx, c, o.Project, service); err != nil {
			r.log.Warn("cannot restart a container whose network was made anew", "container", c.name, "error", err)
			text := fmt.Sprintf("%s shares the network of %s, which was made anew, and cannot be restarted: %v", c.name, service, err)
			note(planner.Event{Kind: planner.Warned, Text: text})
		}
	}
}

// isLeftBehind says whether a container that runs shares a network namespace
// that a service of a project had before.
func (r *Runner) isLeftBehind(c *container, project, service string) bool {
	rec := c.snapshot()
	if rec.OneOff && c.tap.IsAttached() || rec.State != planner.Running || !r.isAdrift(&rec) {
		return false
	}
	of := r.ownerOf(&rec)
	return of != nil && of.project == project && of.snapshot().Service == service
}

// restartLeftBehind restarts a container that was left behind, unless another replica's
// step has by now.
func (r *Runner) restartLeftBehind(ctx context.Context, c *container, project, service string) error {
	if err := c.op.Lock(ctx); err != nil {
		return err
	}
	defer c.op.Unlock()
	if !r.isLeftBehind(c, project, service) {
		return nil
	}
	if err := c.stop(ctx, Grace{}, false); err != nil {
		return err
	}
	return c.start(ctx)
}

// concerns says whether the plan has a step for a container.
func (o *Order) concerns(id string) bool {
	return o.Plan != nil && slices.ContainsFunc(o.Plan.Steps, func(s *planner.Step) bool { return s.Container == id && s.Action != planner.Update })
}
