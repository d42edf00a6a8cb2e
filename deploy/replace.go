package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/orlop/orlop/deploy/cluster"
	"github.com/orlop/orlop/deploy/manifest"
	"github.com/orlop/orlop/planner"
)

// try asks the cluster whether it takes a workload, before another is stopped for it.
func (e *Executor) try(ctx context.Context, o *manifest.Object) error {
	if err := e.mayApply(ctx, o); err != nil {
		return err
	}
	_, err := e.Client.Apply(ctx, o.Kind, o.Name, e.body(o, e.Plan.Number), cluster.Applying{DryRun: true, Force: e.takesOver(o)})
	if _, had := e.Plan.Observed.Objects[o.ID()]; had && isImmutable(err) { // it is made anew
		return nil
	}
	return placed(err, e.Plan.set, e.Plan.places)
}

// replace applies a workload in place of others, which are stopped before. If the cluster does not take it, they come back.
func (e *Executor) replace(ctx context.Context, old []*cluster.Live, o *manifest.Object, note func(planner.Event)) error {
	old = slices.DeleteFunc(slices.Clone(old), func(live *cluster.Live) bool { return idOf(live) == o.ID() }) // a Job whose image is as it was, after all
	for _, live := range old {
		if err := e.stop(ctx, live, note); err != nil {
			return err
		}
	}
	err := e.apply(ctx, o, e.Plan.Number, note)
	if err == nil || !cluster.IsAnswer(err) || len(old) == 0 {
		return err
	}
	// Two must not have the volume: it may have been taken by a request whose answer was lost, or be there as it was before.
	if live, late := e.Client.Get(ctx, o.Kind, o.Name); late != nil || live != nil {
		return err
	}
	if e.isTaken(ctx, old) {
		return fmt.Errorf("%w; the %s was stopped for it, and its volume is another service's by now", err, titleOf(old[0]))
	}
	for _, live := range old {
		if late := e.restore(ctx, live, note); late != nil {
			return fmt.Errorf("%w; the %s was stopped for it, and can't be brought back: %w", err, titleOf(live), late)
		}
	}
	return fmt.Errorf("%w; the %s is there again", err, titleOf(old[0]))
}

// isTaken says that a workload which has come since has the volume of one that was stopped, as far as anybody knows.
func (e *Executor) isTaken(ctx context.Context, old []*cluster.Live) bool {
	return slices.ContainsFunc(e.Plan.set.Resources, func(r *manifest.Resource) bool {
		if r.Workload == nil || e.Plan.Observed.Objects[r.Workload.ID()] != nil || !slices.ContainsFunc(old, func(live *cluster.Live) bool { return e.Plan.hasClaimOf(r, live) }) {
			return false
		}
		live, err := e.Client.Get(ctx, r.Workload.Kind, r.Workload.Name)
		return err != nil || live != nil
	})
}

// restore applies a workload that was stopped as the revision has it that it was of.
func (e *Executor) restore(ctx context.Context, old *cluster.Live, note func(planner.Event)) error {
	was := e.Plan.Observed.of(old)
	if was == nil {
		return errors.New("its revision is not kept")
	}
	set, _ := was.Document.Set(nil)
	for _, r := range set.Resources {
		if r.Workload != nil && r.Workload.ID() == idOf(old) {
			return e.apply(ctx, r.Workload, was.Number, note)
		}
	}
	return fmt.Errorf("internal error: it is not in revision %d", was.Number)
}

// stop removes a workload and waits until its pods are gone.
func (e *Executor) stop(ctx context.Context, live *cluster.Live, note func(planner.Event)) error {
	kind, _ := manifest.KindOf(groupKind(live))
	note(planner.Event{Text: "stops the " + titleOf(live)})
	e.mu.Lock()
	e.isTouched = true
	e.mu.Unlock()
	if e.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, e.Timeout, errLate)
		defer cancel()
	}
	of := []string{manifest.LabelProject, manifest.LabelService}
	for i, label := range of {
		of[i] = label + "=" + live.GetLabels()[label]
	}
	beside, hasDeployment := e.beside(live)
	kinds := []manifest.Kind{cluster.Pod}
	if hasDeployment {
		kinds = append(kinds, cluster.ReplicaSet) // by which it has its pods
	}
	mirror, err := e.Client.Follow(ctx, kinds, strings.Join(of, ","))
	if err != nil {
		return err
	}
	defer mirror.Close()
	if err := e.Client.Remove(ctx, kind, live.GetName(), string(live.GetUID())); err != nil { // whoever can't see its pods go stops nothing
		return err
	}
	for {
		changed := mirror.Changed()
		left := podsBut(mirror.Objects(cluster.Pod, nil), mirror.Objects(cluster.ReplicaSet, nil), beside)
		if len(left) == 0 {
			return nil
		}
		if err := mirror.Wait(ctx, changed, 0); errors.Is(err, errLate) {
			return fmt.Errorf("pod %s of the %s is still there after %v: try again when it is gone", left[0].GetName(), titleOf(live), e.Timeout)
		} else if err != nil {
			return err
		}
	}
}

// beside are the UIDs of the workloads that a service had beside one, and whether some of them is a Deployment.
func (e *Executor) beside(one *cluster.Live) (uids map[types.UID]bool, hasDeployment bool) {
	uids = map[types.UID]bool{}
	for _, live := range e.Plan.Observed.Objects {
		if isWorkload(live.GetKind()) && live.GetUID() != one.GetUID() && live.GetLabels()[manifest.LabelService] == one.GetLabels()[manifest.LabelService] {
			uids[live.GetUID()] = true
			hasDeployment = hasDeployment || live.GetKind() == manifest.Deployment.Kind
		}
	}
	return uids, hasDeployment
}

// podsBut are the pods that workloads do not have, by themselves or by a ReplicaSet: also those of which nobody knows whose they are.
func podsBut(pods, sets []*cluster.Live, of map[types.UID]bool) []*cluster.Live {
	is := func(ref metav1.OwnerReference) bool { return of[ref.UID] }
	return slices.DeleteFunc(slices.Clone(pods), func(pod *cluster.Live) bool {
		return slices.ContainsFunc(pod.GetOwnerReferences(), func(ref metav1.OwnerReference) bool {
			return is(ref) || slices.ContainsFunc(sets, func(set *cluster.Live) bool {
				return set.GetUID() == ref.UID && slices.ContainsFunc(set.GetOwnerReferences(), is)
			})
		})
	})
}

// rollback brings a service back to what it was.
func (e *Executor) rollback(ctx context.Context, step *planner.Step, w *work, note func(planner.Event)) error {
	set, _ := w.previous.Set(nil)
	for _, r := range set.Resources {
		if r.Kind != w.resource.Kind || r.Key != w.resource.Key {
			continue
		}
		if w.resource.Workload.Kind != r.Workload.Kind {
			if err := e.withdraw(ctx, w.resource.Workload, note); err != nil {
				return err
			}
		}
		for _, o := range r.Objects {
			if live := e.Plan.Observed.Objects[o.ID()]; live == nil {
				continue
			}
			if err := e.apply(ctx, o, w.revision, note); err != nil {
				return err
			}
		}
		return e.await(ctx, r, note)
	}
	return fmt.Errorf("internal error: %s is not in %s", step.Service, step.Name)
}

// withdraw stops a workload of another kind than the one that comes back: that may have its volume.
func (e *Executor) withdraw(ctx context.Context, o *manifest.Object, note func(planner.Event)) error {
	live, err := e.Client.Get(ctx, o.Kind, o.Name)
	if err != nil || live == nil || live.GetLabels()[labelPartOf] != setID(e.Plan.Project, e.Client.Namespace) {
		return err
	}
	return e.stop(ctx, live, note)
}

// titleOf is an object as users read it: "statefulset db".
func titleOf(o *cluster.Live) string { return strings.ToLower(o.GetKind()) + " " + o.GetName() }

func idOf(o *cluster.Live) string { return groupKind(o) + "/" + o.GetName() }
