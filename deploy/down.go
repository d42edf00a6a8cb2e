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

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/orlop/orlop/deploy/cluster"
	"github.com/orlop/orlop/deploy/fields"
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
		add(&planner.Step{Action: planner.Remove, Resource: shared, Needs: slices.Clone(all)}, rest)
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

// shared is the step of what is of no single service.
const shared = "shared objects"

// Remover carries out the steps of a Down.
type Remover struct {
	Client  *cluster.Client
	Plan    *Plan
	Timeout time.Duration // that the pods of a service, or a claim, may take to be gone; 0: for ever

	mirror *cluster.Mirror

	mu     sync.Mutex
	others map[types.UID]*cluster.Live // guarded by mu: workloads of others with the project's labels, by the UID of what has their pods; nil: it is ours
}

// Begin follows what has to be gone before a service is: its pods, and what somebody may hold.
func (r *Remover) Begin(ctx context.Context) (err error) {
	kinds := []manifest.Kind{cluster.Pod}
	if r.Plan.Count(planner.RemoveVolume) > 0 {
		kinds = append(kinds, manifest.VolumeClaim)
	}
	for _, w := range r.Plan.work {
		for _, o := range w.remove {
			if kind, known := manifest.KindOf(groupKind(o)); known && len(o.GetFinalizers()) > 0 && !slices.Contains(kinds, kind) {
				kinds = append(kinds, kind)
			}
		}
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
	if err := joined(errs); err != nil {
		return planner.Result{}, err
	}
	waiting, cancel := ctx, context.CancelFunc(func() {})
	if r.Timeout > 0 {
		waiting, cancel = context.WithTimeoutCause(ctx, r.Timeout, errLate)
	}
	defer cancel()
	for {
		changed := r.mirror.Changed()
		left, stay := r.left(waiting, step)
		if len(left) == 0 && len(stay) > 0 {
			return planner.Result{Text: strings.Join(stay, ", ") + " stays, which is not of this deploy"}, nil
		} else if len(left) == 0 {
			return planner.Result{}, nil
		}
		note(planner.Event{Text: "until it is gone"})
		err := r.mirror.Wait(waiting, changed, 0)
		if errors.Is(err, errLate) {
			return planner.Result{}, r.still(ctx, left)
		}
		if err != nil {
			return planner.Result{}, err
		}
	}
}

// left are the pods of a service, or the claim, that are there still, and what a finalizer holds; in the end the pods of all, also of what a
// down before has removed. stay are the workloads of others, as of rendered manifests, whose pods have the project's labels.
func (r *Remover) left(ctx context.Context, step *planner.Step) (left []*cluster.Live, stay []string) {
	switch {
	case step.Resource == shared:
		left = slices.Clone(r.mirror.Objects(cluster.Pod, nil))
	case step.Action != planner.RemoveVolume:
		left = slices.Clone(r.mirror.Objects(cluster.Pod, map[string]string{manifest.LabelService: step.Resource}))
	default:
		for _, claim := range r.mirror.Objects(manifest.VolumeClaim, nil) {
			if claim.GetName() == step.Resource {
				left = append(left, claim)
			}
		}
	}
	left = slices.DeleteFunc(left, func(o *cluster.Live) bool {
		other := r.otherOf(ctx, o)
		if other != nil && !slices.Contains(stay, titleOf(other)) {
			stay = append(stay, titleOf(other))
		}
		return other != nil
	})
	for _, o := range r.Plan.work[step.ID].remove {
		if kind, known := manifest.KindOf(groupKind(o)); known && len(o.GetFinalizers()) > 0 && kind != manifest.VolumeClaim {
			left = append(left, slices.DeleteFunc(r.mirror.Objects(kind, nil), func(live *cluster.Live) bool { return live.GetUID() != o.GetUID() })...)
		}
	}
	slices.SortFunc(left, func(a, b *cluster.Live) int { return strings.Compare(a.GetName(), b.GetName()) })
	slices.Sort(stay)
	return left, stay
}

// otherOf is the workload of somebody else that a pod is of, and that nobody has begun to remove; nil if there is none.
func (r *Remover) otherOf(ctx context.Context, pod *cluster.Live) *cluster.Live {
	owner := metav1.GetControllerOf(pod)
	if pod.GetKind() != cluster.Pod.Kind || owner == nil {
		return nil
	}
	r.mu.Lock()
	other, isKnown := r.others[owner.UID]
	r.mu.Unlock()
	if isKnown {
		return other
	}
	for of := owner; of != nil; {
		group, _, _ := strings.Cut(of.APIVersion, "/")
		kind, isKnown := manifest.KindOf(manifest.Kind{Group: group, Kind: of.Kind}.GroupKind())
		if of.Kind == cluster.ReplicaSet.Kind {
			kind, isKnown = cluster.ReplicaSet, true
		}
		if !isKnown {
			break
		}
		live, err := r.Client.Get(ctx, kind, of.Name)
		var missing *cluster.Missing
		if err != nil && !errors.As(err, &missing) {
			return nil // it is waited for, and asked again
		}
		if live == nil || live.GetUID() != of.UID || live.GetDeletionTimestamp() != nil { // or nobody may look: it is waited for
			break
		}
		// What Kubernetes makes for a workload that is gone was ours.
		if of = metav1.GetControllerOf(live); of == nil && kind != cluster.ReplicaSet && live.GetLabels()[labelPartOf] != setID(r.Plan.Project, r.Client.Namespace) {
			other = live
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.others == nil {
		r.others = map[types.UID]*cluster.Live{}
	}
	r.others[owner.UID] = other
	return other
}

// still says what is there after all the time that it had, and what keeps it.
func (r *Remover) still(ctx context.Context, left []*cluster.Live) error {
	var list []string
	for _, o := range left {
		text := titleOf(o)
		if why := r.keeps(ctx, o); why != "" {
			text += " (" + why + ")"
		}
		list = append(list, text)
	}
	return fmt.Errorf("still there after %v: %s; \"orlop deploy down\" goes on with it, --timeout gives it more time", r.Timeout, strings.Join(list, ", "))
}

// protection is what keeps a claim that pods have.
const protection = "kubernetes.io/pvc-protection"

// keeps says why an object that is being removed is not gone.
func (r *Remover) keeps(ctx context.Context, o *cluster.Live) string {
	if finalizers := o.GetFinalizers(); slices.Contains(finalizers, protection) {
		if pods, err := r.Client.List(ctx, cluster.Pod, ""); err == nil {
			if users := usersOf(pods, o.GetName()); len(users) > 0 {
				return "used by pod " + strings.Join(users, ", ")
			}
		}
	} else if len(finalizers) > 0 {
		return "held by the finalizer " + strings.Join(finalizers, ", ")
	}
	if o.GetDeletionTimestamp() == nil {
		return "nobody has begun to end it"
	}
	if node, _ := fields.At(o.Object, []string{"spec", "nodeName"}).(string); node != "" {
		return "it has not ended yet on node " + node
	}
	return ""
}

// usersOf are the pods that have a claim.
func usersOf(pods []cluster.Live, claim string) []string {
	var names []string
	for i := range pods {
		volumes, _ := fields.At(pods[i].Object, []string{"spec", "volumes"}).([]any)
		if slices.ContainsFunc(volumes, func(v any) bool { return fields.At(v, []string{"persistentVolumeClaim", "claimName"}) == claim }) {
			names = append(names, pods[i].GetName())
		}
	}
	return names
}

// End removes what the project had beside its objects, if all of them are gone: revisions, lock, parent.
func (r *Remover) End(ctx context.Context, failure error) error {
	r.mirror.Close()
	if failure != nil {
		return nil
	}
	o := r.Plan.Observed
	var errs []error
	left := maps.Clone(o.Objects)
	for _, w := range r.Plan.work {
		maps.DeleteFunc(left, func(_ string, live *cluster.Live) bool { return slices.Contains(w.remove, live) })
	}
	for _, live := range left {
		if live.GetKind() != manifest.VolumeClaim.Kind { // what runs keeps its history
			return nil
		}
	}
	if len(left) > 0 { // claims have to be found again
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
