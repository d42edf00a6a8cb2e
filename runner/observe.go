package runner

import (
	"context"
	"slices"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/complaint"
	"github.com/orlop/orlop/runner/emulation"
	"github.com/orlop/orlop/runner/health"
	"github.com/orlop/orlop/runner/volume"
	"github.com/orlop/orlop/spec"
)

// Observe takes a snapshot of what exists of a project. The project's
// document may be nil; then images and external things are left out. inputs
// tells what an image was built from. What was lost is for ObserveLosses, what is mounted
// from the host for ObserveSources.
func (r *Runner) Observe(ctx context.Context, name string, p *spec.Project, inputs func(ref string) *planner.Inputs) (*planner.Observed, error) {
	o := &planner.Observed{Containers: r.Containers(name), Machine: emulation.Machine()}
	wantVolumes := map[string]bool{}
	wantNetworks := map[string]bool{}
	var refs []string
	if p != nil {
		for _, v := range p.Volumes {
			wantVolumes[v.Name] = true
		}
		for _, n := range p.Networks {
			wantNetworks[n.Name] = true
		}
		refs = p.ImageNames()
	}
	var err error
	if o.Networks, err = r.topology.Observe(name, wantNetworks); err != nil {
		return nil, err
	}
	for key, n := range o.Networks {
		n.Guests = r.Wiring().Guests(name, n.Name)
		o.Networks[key] = n
	}
	for i, c := range o.Containers {
		if k := r.lookup(c.ID); k != nil {
			rec := k.snapshot()
			o.Containers[i].Adrift = r.isAdrift(&rec)
		}
	}
	o.Volumes = r.volumes.Observe(name, wantVolumes)
	o.At = r.Now()
	o.Foreign = emulation.Foreign(p)
	if o.Images, err = r.Images.FindAll(ctx, refs, inputs); err != nil {
		return nil, err
	}
	return o, r.Images.MarkLacking(ctx, p, o.Images)
}

// ObserveSources looks at the paths of the host that services mount, which takes for ever
// where one is on a file server that is gone: who makes no containers does without.
func (r *Runner) ObserveSources(o *planner.Observed, p *spec.Project, services []string) {
	o.Absent = volume.AbsentSources(p, services)
	for i, c := range o.Containers {
		if k := r.lookup(c.ID); k != nil && slices.Contains(services, c.Service) {
			rec := k.snapshot()
			o.Containers[i].Turned = volume.Turned(rec.Applied, rec.Binds, rec.LeftOut)
		}
	}
}

// Steady waits until each container of a project that has no health check has
// run for a while, or does not run any more.
func (r *Runner) Steady(ctx context.Context, project string) { r.watched(project).Steady(ctx) }

// watched are the containers of a project for who waits for something about them.
func (r *Runner) watched(project string) health.Containers {
	return health.Containers{
		List: func() []planner.Container { return r.Containers(project) }, Now: r.Now,
		Watch: func(ctx context.Context, changed func(planner.Container, bool), synced func()) {
			r.Watch(ctx, project, changed, synced)
		},
	}
}

// explain adds the last lines that the service's containers printed.
func (r *Runner) explain(project, service string, err error) error {
	var lines []string
	for _, c := range r.Containers(project) {
		if c.Service == service && !c.OneOff && c.State != planner.Created {
			lines = append(lines, r.LastLines(c.ID, 20)...)
		}
	}
	return &complaint.Failed{Text: err.Error(), Last: lines[max(0, len(lines)-20):]}
}
