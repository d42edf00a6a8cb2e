package deploy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/orlop/orlop/deploy/cluster"
	"github.com/orlop/orlop/deploy/fields"
	"github.com/orlop/orlop/deploy/manifest"
	"github.com/orlop/orlop/deploy/rollout"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// Build builds or fetches an image, see Image, pushes it, and gives its reference by digest.
type Build func(ctx context.Context, step string, note func(planner.Event)) (ref string, err error)

// Executor carries out the steps of a plan on a cluster.
type Executor struct {
	Client  *cluster.Client
	Plan    *Plan
	Build   Build         // nil: no step builds
	Timeout time.Duration // that a service may take to be ready; 0: for ever
	Now     func() time.Time

	mu          sync.Mutex
	images      map[string]string // that were built
	generations map[string]int64  // of objects that were applied, by their IDs
	uids        map[string]string
	unmade      map[string]bool // IDs of steps whose image could not be made
	isTouched   bool            // what runs or has data was applied, or may have been
	document    *Document       // with the images that were built
	set         *manifest.Set   // of it
	mirror      *cluster.Mirror
}

// Begin writes down the revision that the plan makes, before anything else is changed.
func (e *Executor) Begin(ctx context.Context) error {
	e.images, e.generations, e.uids, e.document = map[string]string{}, map[string]int64{}, map[string]string{}, e.Plan.Document
	e.unmade = map[string]bool{}
	if err := e.claim(ctx); err != nil {
		return err
	}
	if err := e.writeRevision(ctx, StateDeploying); err != nil {
		return err
	}
	if slices.ContainsFunc(e.Plan.Steps, func(s *planner.Step) bool { return s.Action == planner.Await || s.Action == planner.Rollback }) {
		kinds := kindsOf(e.Plan.set, nil)
		for _, live := range e.Plan.Observed.Objects { // one may be rolled back to
			if kind, known := manifest.KindOf(groupKind(live)); known {
				kinds = append(kinds, kind)
			}
		}
		mirror, err := follow(ctx, e.Client, e.Plan.Project, kinds)
		if err != nil {
			return err
		}
		e.mirror = mirror
	}
	return nil
}

// Follow mirrors what tells how the services are that were deployed last.
func Follow(ctx context.Context, c *cluster.Client, o *Observed) (*cluster.Mirror, error) {
	return follow(ctx, c, o.Project, o.kindsBefore())
}

// follow mirrors the workloads of a project, of those kinds that it has, and their pods: no right is needed for others.
func follow(ctx context.Context, c *cluster.Client, project string, kinds []manifest.Kind) (*cluster.Mirror, error) {
	followed := []manifest.Kind{cluster.Pod}
	for _, kind := range []manifest.Kind{manifest.Deployment, manifest.StatefulSet, manifest.DaemonSet, manifest.Job} {
		if slices.Contains(kinds, kind) {
			followed = append(followed, kind)
		}
	}
	if slices.Contains(kinds, manifest.Deployment) { // by which it has its pods
		followed = append(followed, cluster.ReplicaSet)
	}
	return c.Follow(ctx, followed, manifest.LabelProject+"="+manifest.LabelValue(project))
}

// End writes down how the revision ended. One that came to nothing, for an image could not be made, is none: nobody wants it back, and what
// is deployed is of the one before.
func (e *Executor) End(ctx context.Context, failure error) error {
	if e.mirror != nil {
		e.mirror.Close()
	}
	if failure != nil && len(e.unmade) > 0 && !e.isTouched {
		return e.Client.Remove(ctx, manifest.Secret, revisionName(e.Plan.Project, e.Plan.Number), "")
	}
	state := StateDeployed
	if failure != nil {
		state = StateFailed
	}
	err := e.writeRevision(ctx, state)
	return errors.Join(err, e.forget(ctx))
}

// Execute carries out one step.
func (e *Executor) Execute(ctx context.Context, step *planner.Step, note func(planner.Event)) (planner.Result, error) {
	w := e.Plan.work[step.ID]
	switch step.Action {
	case planner.Build, planner.Push:
		return e.build(ctx, step.ID, w.makes, note)
	case planner.Await:
		resource, err := e.current(w.resource)
		if err != nil {
			return planner.Result{}, err
		}
		if err := e.await(ctx, resource, note); err != nil {
			return planner.Result{}, err
		}
		if n, is := fields.Number(fields.At(resource.Workload.Body, []string{"spec", "replicas"})); is && n == 0 {
			return planner.Result{Text: "scaled to none"}, nil
		}
		if step.Condition == spec.ServiceStarted { // it has no health check
			return planner.Result{Text: "runs"}, nil
		}
		return planner.Result{}, nil
	case planner.Remove:
		return planner.Result{}, e.remove(ctx, w.remove)
	case planner.Rollback:
		return planner.Result{}, e.rollback(ctx, step, w, note)
	}
	if len(w.failures) > 0 {
		return planner.Result{}, errors.New(strings.Join(w.failures, "; "))
	}
	if e.isVain(w) {
		return planner.Result{Outcome: planner.Unchanged, Text: "left as it was"}, nil
	}
	resource, err := e.current(w.resource)
	if err != nil {
		return planner.Result{}, err
	}
	if len(w.stops) > 0 {
		if err := e.try(ctx, resource.Workload); err != nil {
			return planner.Result{}, err
		}
	}
	applied := 0
	for _, o := range resource.Objects {
		if o == resource.Workload && len(w.stops) > 0 {
			applied++
			if err := e.replace(ctx, w.stops, o, note); err != nil {
				return planner.Result{}, err
			}
			continue
		}
		if isChanged := w.changed[o.ID()]; !isChanged && !w.remade || w.remade && !e.isOther(o) {
			continue
		}
		applied++
		if err := e.apply(ctx, o, e.Plan.Number, note); err != nil {
			return planner.Result{}, err
		}
	}
	if applied == 0 {
		return planner.Result{Outcome: planner.Unchanged}, nil
	}
	return planner.Result{}, nil
}

// isVain says that an image could not be made of each service that uses a resource.
func (e *Executor) isVain(w *work) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(w.makers) > 0 && !slices.ContainsFunc(w.makers, func(ids []string) bool {
		return !slices.ContainsFunc(ids, func(id string) bool { return e.unmade[id] })
	})
}

// isOther says that an object is not as it was applied last.
func (e *Executor) isOther(o *manifest.Object) bool {
	live := e.Plan.Observed.Objects[o.ID()]
	return live == nil || live.GetAnnotations()[noteHash] != o.Hash()
}

func (e *Executor) build(ctx context.Context, id, step string, note func(planner.Event)) (planner.Result, error) {
	ref, err := e.Build(ctx, step, note)
	if err != nil {
		e.mu.Lock()
		e.unmade[id] = true
		e.mu.Unlock()
		return planner.Result{}, err
	}
	last, isKnown := e.Plan.Observed.Last(), true
	e.mu.Lock()
	for at, i := range e.Plan.options.Images {
		if i.Step == step {
			e.images[at] = ref
			isKnown = isKnown && last != nil && last.Document.Images[at] == ref
		}
	}
	e.set = nil
	e.mu.Unlock()
	if isKnown {
		return planner.Result{Outcome: planner.Unchanged}, nil
	}
	return planner.Result{Text: spec.ShortDigests(digestOf(ref))}, nil
}

// current is a resource with the images that were built since it was planned.
func (e *Executor) current(planned *manifest.Resource) (*manifest.Resource, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.images) == 0 {
		return planned, nil
	}
	if e.set == nil {
		e.document = e.Plan.Document.withImages(e.images)
		set, found := e.document.Set(nil)
		if failures := found.Errors(); len(failures) > 0 {
			return nil, fmt.Errorf("internal error: %s", failures[0])
		}
		e.set = set
	}
	for _, r := range e.set.Resources {
		if r.Kind == planned.Kind && r.Key == planned.Key {
			return r, nil
		}
	}
	return nil, fmt.Errorf("internal error: %s is not in the plan any more", planned.Name())
}

// apply applies an object; fields that are left to others are left out.
func (e *Executor) apply(ctx context.Context, o *manifest.Object, revision int, note func(planner.Event)) error {
	note(planner.Event{Text: strings.ToLower(o.Kind.Kind) + " " + o.Name})
	body, force := e.body(o, revision), e.takesOver(o)
	if err := e.mayApply(ctx, o); err != nil {
		return err
	}
	if isWorkload(o.Kind.Kind) || o.Kind == manifest.VolumeClaim { // what a claim is of is found in the revisions
		e.mu.Lock()
		e.isTouched = true
		e.mu.Unlock()
	}
	if old, had := e.Plan.Observed.Objects[o.ID()]; had && o.Kind == manifest.Job && hasFailed(old) {
		if err := e.Client.Remove(ctx, o.Kind, o.Name, string(old.GetUID())); err != nil {
			return err
		}
	}
	live, err := e.Client.Apply(ctx, o.Kind, o.Name, body, cluster.Applying{Force: force})
	if err != nil && isImmutable(err) && o.Kind != manifest.VolumeClaim {
		old, had := e.Plan.Observed.Objects[o.ID()]
		if !had { // somebody else's, which is not ours to remove
			return untakeable(o, e.Client.Namespace, err)
		}
		if err := e.Client.Remove(ctx, o.Kind, o.Name, string(old.GetUID())); err != nil {
			return err
		}
		live, err = e.Client.Apply(ctx, o.Kind, o.Name, body, cluster.Applying{Force: force})
	}
	if err == nil && e.Plan.options.Adopt {
		err = e.Client.Own(ctx, o.Kind, live)
	}
	if err != nil {
		return placed(err, e.Plan.set, e.Plan.places)
	}
	e.mu.Lock()
	e.generations[o.ID()], e.uids[o.ID()] = live.GetGeneration(), string(live.GetUID())
	e.mu.Unlock()
	return nil
}

// mayApply is why an object may not be applied: somebody else's has its name, or it is on its way out.
func (e *Executor) mayApply(ctx context.Context, o *manifest.Object) error {
	live, has := e.Plan.Observed.Objects[o.ID()]
	if !has {
		var err error
		if live, err = e.Client.Get(ctx, o.Kind, o.Name); err != nil || live == nil {
			return err
		}
		if !e.Plan.options.Adopt && live.GetLabels()[labelPartOf] != setID(e.Plan.Project, e.Client.Namespace) {
			return fmt.Errorf("%s %s exists and is not of this project: --adopt takes it over", strings.ToLower(o.Kind.Kind), o.Name)
		}
	}
	if live.GetDeletionTimestamp() != nil {
		return errors.New(leaving(live))
	}
	return nil
}

// untakeable says that an object of somebody else can't become ours as it is.
func untakeable(o *manifest.Object, namespace string, err error) error {
	kind := strings.ToLower(o.Kind.Kind)
	return fmt.Errorf("%s %s can't be taken over as it is: remove it first, with kubectl delete -n %s %s %s: %w", kind, o.Name, namespace, kind, o.Name, err)
}

// body is an object as it is applied.
func (e *Executor) body(o *manifest.Object, revision int) map[string]any {
	return fields.Without(noted(o, setID(e.Plan.Project, e.Client.Namespace), revision), e.Plan.kept[o.ID()])
}

// takesOver says that fields of an object that others have become ours.
func (e *Executor) takesOver(o *manifest.Object) bool {
	_, had := e.Plan.Observed.Objects[o.ID()]
	return e.Plan.options.Force || e.Plan.options.Adopt && !had
}

// await waits until the pods of a service are ready, or have completed. Why they are not is told as a *NotReady.
func (e *Executor) await(ctx context.Context, resource *manifest.Resource, note func(planner.Event)) error {
	if e.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, e.Timeout, errLate)
		defer cancel()
	}
	e.mu.Lock()
	generation, uid := e.generations[resource.Workload.ID()], e.uids[resource.Workload.ID()]
	e.mu.Unlock()
	said := ""
	var state, held rollout.State // held: what kept it up last
	again := settling{}
	for {
		changed := e.mirror.Changed()
		seen := See(e.mirror, resource.Workload.Kind, resource.Workload.Name)
		if seen.Workload != nil && uid != "" && string(seen.Workload.GetUID()) != uid { // one that was removed before
			seen = rollout.Seen{}
		}
		state = rollout.Look(seen, generation)
		if state.Text != "" {
			held = state
		}
		left := again.left(state, e.Now())
		switch {
		case state.Done && left <= 0:
			return nil
		case state.Failure != "" && !state.Late: // how long it may take is ours to say
			return Explain(ctx, e.Client, resource.Workload.Name, state)
		case state.Text != said:
			said = state.Text
			note(planner.Event{Text: said})
		}
		err := e.mirror.Wait(ctx, changed, left)
		if errors.Is(err, errLate) {
			held.Failure = fmt.Sprintf("not ready after %v: %s", e.Timeout, held.Text)
			return Explain(context.WithoutCancel(ctx), e.Client, resource.Workload.Name, held)
		}
		if err != nil {
			return err
		}
	}
}

// settling is when containers were seen first that have to go on for a while until a workload counts as ready, see rollout.State.
type settling map[string]time.Time

// left is how long one of them still has to.
func (s settling) left(state rollout.State, now time.Time) (most time.Duration) {
	for which, long := range state.Young {
		if _, has := s[which]; !has {
			s[which] = now
		}
		most = max(most, long-now.Sub(s[which]))
	}
	if !state.Done {
		return 0
	}
	return most
}

var errLate = errors.New("timed out")

// See are the objects of a workload in a mirror.
func See(m *cluster.Mirror, kind manifest.Kind, name string) rollout.Seen {
	var seen rollout.Seen
	for _, o := range m.Objects(kind, nil) {
		if o.GetName() == name {
			seen.Workload = o
		}
	}
	if seen.Workload == nil {
		return seen
	}
	of := map[string]string{manifest.LabelService: seen.Workload.GetLabels()[manifest.LabelService]}
	seen.Pods, seen.ReplicaSets = m.Objects(cluster.Pod, of), m.Objects(cluster.ReplicaSet, of)
	return seen
}

// remove removes objects, those first that others are behind.
func (e *Executor) remove(ctx context.Context, objects []*cluster.Live) error {
	var errs []error
	wanted, err := e.wanted()
	if err != nil {
		return err
	}
	for _, o := range objects {
		kind, known := manifest.KindOf(groupKind(o))
		if !known || wanted[kind.GroupKind()+"/"+o.GetName()] { // an image that was built has the digest that it had
			continue
		}
		errs = append(errs, e.Client.Remove(ctx, kind, o.GetName(), string(o.GetUID())))
	}
	return joined(errs)
}

// wanted are the IDs of the objects of the document as it is by now.
func (e *Executor) wanted() (map[string]bool, error) {
	set, found := e.withBuilt().Set(nil)
	if failures := found.Errors(); len(failures) > 0 {
		return nil, fmt.Errorf("internal error: %s", failures[0])
	}
	ids := map[string]bool{}
	for _, r := range set.Resources {
		for _, o := range r.Objects {
			ids[o.ID()] = true
		}
	}
	return ids, nil
}

func groupKind(o *cluster.Live) string {
	k := o.GroupVersionKind()
	return manifest.Kind{Group: k.Group, Kind: k.Kind}.GroupKind()
}

// withBuilt is the document with the images that were built.
func (e *Executor) withBuilt() *Document {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.Plan.Document.withImages(maps.Clone(e.images))
}
