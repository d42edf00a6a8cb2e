package deploy

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/orlop/orlop/deploy/cluster"
	"github.com/orlop/orlop/deploy/manifest"
	"github.com/orlop/orlop/planner"
)

// Down makes the plan that removes a project from the cluster: all of it but claims, whose data goes only where that is asked for.
func Down(o *Observed, withVolumes bool) *Plan {
	p := &Plan{Plan: &planner.Plan{Project: o.Project, Of: "claim"}, Observed: o, work: map[string]*work{}, kept: map[string][]string{}}
	byService := map[string][]*cluster.Live{}
	var claims []*cluster.Live
	for _, live := range o.Objects {
		if live.GetKind() == manifest.VolumeClaim.Kind {
			claims = append(claims, live)
			continue
		}
		service := live.GetLabels()[manifest.LabelService]
		byService[service] = append(byService[service], live)
	}
	var all []string
	add := func(s *planner.Step, objects []*cluster.Live) {
		slices.SortFunc(objects, func(a, b *cluster.Live) int { return strings.Compare(a.GetKind()+a.GetName(), b.GetKind()+b.GetName()) })
		s.ID = string(s.Action) + " " + s.Resource
		p.work[s.ID] = &work{remove: objects}
		p.Steps = append(p.Steps, s)
		all = append(all, s.ID)
	}
	for _, service := range sortedKeys(byService) {
		if service != "" {
			add(&planner.Step{Action: planner.Remove, Resource: service}, byService[service])
		}
	}
	if rest := byService[""]; len(rest) > 0 {
		add(&planner.Step{Action: planner.Remove, Resource: "shared objects", Needs: slices.Clone(all)}, rest)
	}
	p.Leave = len(claims)
	if withVolumes {
		p.Leave = 0
		for _, claim := range claims {
			add(&planner.Step{Action: planner.RemoveVolume, Resource: claim.GetName(), Needs: slices.Clone(all)}, []*cluster.Live{claim})
		}
	}
	return p
}

// Remover carries out the steps of a Down.
type Remover struct {
	Client *cluster.Client
	Plan   *Plan
	mirror *cluster.Mirror
}

// Begin follows the pods, which have to be gone before a service is.
func (r *Remover) Begin(ctx context.Context) (err error) {
	kinds := []manifest.Kind{cluster.Pod}
	if r.Plan.Count(planner.RemoveVolume) > 0 {
		kinds = append(kinds, manifest.VolumeClaim)
	}
	r.mirror, err = r.Client.Follow(ctx, kinds, manifest.LabelProject+"="+manifest.LabelValue(r.Plan.Project))
	return err
}

// Execute removes the objects of a step, and waits until the pods are gone.
func (r *Remover) Execute(ctx context.Context, step *planner.Step, note func(planner.Event)) (planner.Result, error) {
	var errs []error
	for _, o := range r.Plan.work[step.ID].remove {
		kind, known := manifest.KindOf(groupKind(o))
		if known {
			errs = append(errs, r.Client.Remove(ctx, kind, o.GetName(), string(o.GetUID())))
		}
	}
	if err := errors.Join(errs...); err != nil || step.Resource == "shared objects" {
		return planner.Result{}, err
	}
	for {
		changed := r.mirror.Changed()
		if !r.isThere(step) {
			return planner.Result{}, nil
		}
		note(planner.Event{Text: "until it is gone"})
		if err := r.mirror.Wait(ctx, changed, 0); err != nil {
			return planner.Result{}, err
		}
	}
}

// isThere says that a claim, or a pod of a service, is there still.
func (r *Remover) isThere(step *planner.Step) bool {
	if step.Action != planner.RemoveVolume {
		return len(r.mirror.Objects(cluster.Pod, map[string]string{manifest.LabelService: step.Resource})) > 0
	}
	for _, claim := range r.mirror.Objects(manifest.VolumeClaim, nil) {
		if claim.GetName() == step.Resource {
			return true
		}
	}
	return false
}

// End removes what the project had beside its objects, if all of them are gone: revisions, lock, parent.
func (r *Remover) End(ctx context.Context, failure error) error {
	r.mirror.Close()
	if failure != nil {
		return nil
	}
	o := r.Plan.Observed
	var errs []error
	if r.Plan.Leave > 0 { // claims have to be found again
		return r.retire(ctx)
	}
	for _, revision := range o.Revisions {
		errs = append(errs, r.Client.Remove(ctx, manifest.Secret, revision.object.GetName(), string(revision.object.GetUID())))
	}
	if o.Parent != nil {
		errs = append(errs, r.Client.Remove(ctx, manifest.Secret, o.Parent.GetName(), string(o.Parent.GetUID())))
	}
	return errors.Join(errs...)
}

// retire removes all revisions but the newest, by which a later deploy knows what was there.
func (r *Remover) retire(ctx context.Context) error {
	var errs []error
	revisions := r.Plan.Observed.Revisions
	for _, revision := range revisions[:max(len(revisions)-1, 0)] {
		errs = append(errs, r.Client.Remove(ctx, manifest.Secret, revision.object.GetName(), string(revision.object.GetUID())))
	}
	return errors.Join(errs...)
}

// HolderName is who deploys, as others read it: user, machine, process and since when.
func HolderName(user, host string, process int, since time.Time) string {
	return strings.Join([]string{user + "@" + host, "(process", itoa(process) + ",", "since", since.Format("15:04:05") + ")"}, " ")
}
