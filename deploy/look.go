package deploy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/orlop/orlop/deploy/cluster"
	"github.com/orlop/orlop/deploy/fields"
	"github.com/orlop/orlop/deploy/manifest"
	"github.com/orlop/orlop/planner"
)

// lookForPlace finds out whether there is a place for a first deploy: the namespace.
func (p *Plan) lookForPlace(ctx context.Context, c *cluster.Client) error {
	if p.Observed.Parent != nil || p.options.NewNamespace {
		return nil
	}
	body := parentBody(p.Project, c.Namespace, nil)
	_, err := c.Apply(ctx, manifest.Secret, parentName(p.Project), body, cluster.Applying{DryRun: true, Force: true})
	var missing *cluster.Missing
	if errors.As(err, &missing) { // who only looks may plan all the same
		return nil
	}
	return err
}

// state is what is to be done about an object.
type state struct {
	live     *cluster.Live // nil: it is not there
	changed  bool
	template bool           // its pods are replaced
	drifts   []fields.Drift // fields that others have changed, where the document says what it said before
	failure  string         // why it can't be applied
}

// concurrency is how many requests are made at once.
const concurrency = 8

// look compares each object with what is there.
func (p *Plan) look(ctx context.Context, c *cluster.Client, set *manifest.Set) (map[string]*state, error) {
	states := map[string]*state{}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(concurrency)
	type result struct {
		id     string
		held   []cluster.HeldField
		object *manifest.Object
	}
	objects := 0
	for _, r := range set.Resources {
		objects += len(r.Objects)
	}
	results := make(chan result, objects)
	for _, r := range set.Resources {
		for _, o := range r.Objects {
			live := p.Observed.Objects[o.ID()]
			s := &state{live: live}
			states[o.ID()] = s
			if live == nil {
				group.Go(func() error {
					if err := p.lookForForeign(ctx, c, o, s); err != nil || s.live != nil || o != r.Workload || len(p.stopped(r)) == 0 {
						return err
					}
					return p.tryNew(ctx, c, o, s) // what it is in place of is not stopped in vain
				})
				continue
			}
			if live.GetDeletionTimestamp() != nil { // it would go on to vanish, whatever is applied
				s.changed, s.failure = true, leaving(live)
				continue
			}
			if o.Kind == manifest.Job && hasFailed(live) { // it is run again
				s.changed, s.template = true, true
				continue
			}
			if p.options.Adopt && cluster.IsShared(live) { // it was taken over, but for its fields
				s.changed = true
			}
			isSame := live.GetAnnotations()[noteHash] == o.Hash()
			s.drifts = fields.Drifts("", o.Body, live.Object)
			if isSame && len(s.drifts) == 0 {
				continue
			}
			group.Go(func() error {
				held, err := p.try(ctx, c, o, s, isSame)
				if cluster.IsInvalid(err) { // what else there is may be changed all the same
					s.changed, s.failure, err = true, err.Error(), nil
					if o.Kind == manifest.VolumeClaim {
						s.failure += fmt.Sprintf(": write %s%s as it was, take another volume, or remove this one with its data: \"orlop deploy volume rm %s\"", path(r), placeOf(p.places.Nearest(path(r))), r.Key)
					}
				}
				if len(held) > 0 {
					results <- result{o.ID(), held, o}
				}
				return err
			})
		}
	}
	err := group.Wait()
	close(results)
	var all []result
	for r := range results {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b result) int { return strings.Compare(a.id, b.id) })
	for _, r := range all {
		for _, f := range r.held {
			path := strings.TrimPrefix(f.Path, ".")
			have := fields.LookUp(states[r.id].live.Object, f.Path)
			p.Warnings = append(p.Warnings, fmt.Sprintf("%s %s: %s is %s, set by %s, and the stack file says %s: left alone; --force-conflicts takes it over",
				strings.ToLower(r.object.Kind.Kind), r.object.Name, path, fields.Short(have), f.Manager, fields.Short(fields.LookUp(r.object.Body, f.Path))))
			p.kept[r.id] = append(p.kept[r.id], f.Path)
		}
	}
	return states, err
}

// leaving says that an object is being removed, and what keeps it.
func leaving(live *cluster.Live) string {
	text := titleOf(live) + " is being removed"
	switch finalizers := live.GetFinalizers(); {
	case slices.Contains(finalizers, protection):
		text += " as soon as no pod has it, with all data"
	case slices.Contains(finalizers, metav1.FinalizerDeleteDependents):
		text += ", its pods first"
	case len(finalizers) > 0:
		text += ", held by the finalizer " + strings.Join(finalizers, ", ")
	}
	return text + ": try again when it is gone"
}

// lookForExternal warns of what services that change mount, and that is to be there and is not: their pods wait for it. Who may not look is
// told nothing.
func (p *Plan) lookForExternal(ctx context.Context, c *cluster.Client, set *manifest.Set) {
	own := map[string]bool{}
	for _, r := range set.Resources {
		for _, o := range r.Objects {
			own[o.ID()] = true
		}
	}
	for _, r := range set.Resources {
		if p.stepOf(r) == nil {
			continue
		}
		for _, m := range r.Mounted() {
			id := m.Kind.GroupKind() + "/" + m.Name
			if own[id] {
				continue
			}
			own[id] = true // is said once
			if live, err := c.Get(ctx, m.Kind, m.Name); err == nil && live == nil {
				p.Warnings = append(p.Warnings, fmt.Sprintf("%s%s: the %s %s, which is external, is not in namespace %s: its pods can't start before it is",
					path(r), placeOf(p.places.Nearest(path(r))), strings.ToLower(m.Kind.Kind), m.Name, c.Namespace))
			}
		}
	}
}

// stepOf is the step that changes a service or job; nil if there is none.
func (p *Plan) stepOf(r *manifest.Resource) *planner.Step {
	for _, s := range p.Steps {
		if w := p.work[s.ID]; r.Workload != nil && w != nil && w.resource == r && s.Action != planner.Await && s.Action != planner.Rollback {
			return s
		}
	}
	return nil
}

// lookForForeign finds out whether an object that is to be made is there and somebody else's.
func (p *Plan) lookForForeign(ctx context.Context, c *cluster.Client, o *manifest.Object, s *state) error {
	live, err := c.Get(ctx, o.Kind, o.Name)
	if err != nil || live == nil {
		return err
	}
	s.live, s.changed = live, true
	if live.GetDeletionTimestamp() != nil { // it would go on to vanish, with all data
		s.failure = leaving(live)
		return nil
	}
	if p.options.Adopt {
		return p.tryAdopted(ctx, c, o, s)
	}
	owner := "is not of this project"
	if other := live.GetLabels()[manifest.LabelProject]; other != "" && other != manifest.LabelValue(p.Project) {
		owner = "is of the project " + other
	} else if tool := live.GetLabels()[manifest.LabelManager]; tool != "" && tool != Tool {
		owner = "is managed by " + tool
	}
	s.failure = fmt.Sprintf("%s %s exists in namespace %s and %s: --adopt takes it over, --namespace names another place",
		strings.ToLower(o.Kind.Kind), o.Name, c.Namespace, owner)
	return nil
}

// Tool is what objects of ours are managed by.
const Tool = "orlop"

// try asks the cluster what it would make of an object that differs. Fields that others hold and that the document leaves as they
// were are theirs; others are in the way.
func (p *Plan) try(ctx context.Context, c *cluster.Client, o *manifest.Object, s *state, isSame bool) (held []cluster.HeldField, err error) {
	body := noted(o, setID(p.Project, c.Namespace), p.Number)
	dry, err := c.Apply(ctx, o.Kind, o.Name, body, cluster.Applying{DryRun: true, Force: p.options.Force})
	var conflict *cluster.Conflict
	if asConflict(err, &conflict) {
		before := p.before(o, s.live)
		var paths []string
		for _, f := range conflict.Fields {
			was := fields.LookUp(before, f.Path)
			if before != nil && !isSame && !reflect.DeepEqual(was, fields.LookUp(o.Body, f.Path)) {
				s.changed, s.failure = true, fmt.Sprintf("%s %s: %v", strings.ToLower(o.Kind.Kind), o.Name, &cluster.Conflict{Fields: []cluster.HeldField{f}})
				continue
			}
			paths = append(paths, f.Path)
			held = append(held, f)
		}
		if s.failure != "" {
			return held, nil
		}
		reduced := fields.Without(body, paths)
		s.drifts = slices.DeleteFunc(s.drifts, func(d fields.Drift) bool { return slices.Contains(paths, d.Path) })
		if isSame && len(fields.Drifts("", fields.Without(o.Body, paths), s.live.Object)) == 0 {
			return held, nil
		}
		dry, err = c.Apply(ctx, o.Kind, o.Name, reduced, cluster.Applying{DryRun: true})
	}
	if err != nil {
		if isImmutable(err) {
			s.changed, s.template = true, true
			return held, nil
		}
		return held, err
	}
	s.template = !reflect.DeepEqual(templateOf(dry), templateOf(s.live))
	a, b := fields.Content(dry.Object), fields.Content(s.live.Object)
	if isSame { // the revision alone is no change
		dropNote(a)
		dropNote(b)
	}
	s.changed = s.changed || !reflect.DeepEqual(a, b)
	return held, nil
}

// tryNew asks the cluster whether it takes an object that is not there yet.
func (p *Plan) tryNew(ctx context.Context, c *cluster.Client, o *manifest.Object, s *state) error {
	_, err := c.Apply(ctx, o.Kind, o.Name, noted(o, setID(p.Project, c.Namespace), p.Number), cluster.Applying{DryRun: true})
	if cluster.IsRefused(err) { // what else there is may be changed all the same
		s.failure, err = err.Error(), nil
	}
	return err
}

// tryAdopted asks the cluster whether an object of somebody else can become ours, and what of it would be another.
func (p *Plan) tryAdopted(ctx context.Context, c *cluster.Client, o *manifest.Object, s *state) error {
	dry, err := c.Apply(ctx, o.Kind, o.Name, noted(o, setID(p.Project, c.Namespace), p.Number), cluster.Applying{DryRun: true, Force: true})
	switch {
	case isImmutable(err):
		s.failure = untakeable(o, c.Namespace, err).Error()
		return nil
	case cluster.IsRefused(err):
		s.failure = err.Error()
		return nil
	case err != nil:
		return err
	}
	s.template = !reflect.DeepEqual(templateOf(dry), templateOf(s.live))
	return nil
}

func dropNote(o map[string]any) {
	if meta, ok := o["metadata"].(map[string]any); ok {
		if notes, ok := meta["annotations"].(map[string]any); ok {
			notes = maps.Clone(notes)
			delete(notes, noteRevision)
			meta["annotations"] = notes
		}
	}
}

// before is the object as the revision had it that it was last applied by; nil where that is not kept.
func (p *Plan) before(o *manifest.Object, live *cluster.Live) map[string]any {
	r := p.Observed.of(live)
	if r == nil {
		return nil
	}
	set, _ := r.Document.Set(nil)
	for _, resource := range set.Resources {
		for _, old := range resource.Objects {
			if old.ID() == o.ID() {
				return old.Body
			}
		}
	}
	return nil
}
