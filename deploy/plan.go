package deploy

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/orlop/orlop/deploy/cluster"
	"github.com/orlop/orlop/deploy/fields"
	"github.com/orlop/orlop/deploy/manifest"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// Options of a deploy.
type Options struct {
	Force        bool             // fields that others hold are taken over
	Adopt        bool             // objects that are nobody's of ours are taken over
	NewNamespace bool             // it is to be made first
	Wait         bool             // for services that nobody depends on, too
	Images       map[string]Image // containers whose image the plan makes, by "services.NAME"
	Note         string           // of the revision
	By           string           // who deploys
}

// Image is an image that a step of the plan makes.
type Image struct {
	Action planner.Action // Build or Push; both end with a push
	Step   string         // what it makes: the service that has the build, or "image NAME"
}

// ID is that of the step.
func (i Image) ID() string { return string(i.Action) + " " + i.Step }

// Plan is what a deploy would do, and what its executor needs to know for it.
type Plan struct {
	*planner.Plan
	Document *Document
	Observed *Observed
	Number   int // of the revision that it makes

	options Options
	set     *manifest.Set // as planned
	places  spec.Places
	work    map[string]*work    // by the IDs of steps
	kept    map[string][]string // fields of objects that are left to those that hold them, by the objects' IDs
}

// work is what a step does.
type work struct {
	resource *manifest.Resource // as planned: images that are built first are not known in it
	changed  map[string]bool    // IDs of its objects
	remove   []*cluster.Live    // of a removal, and of what a service had and has no more
	previous *Document          // of a rollback
	revision int                // of that document
	failures []string           // why it can't be carried out
	makes    string             // of a build or push: see Image
	remade   bool               // an image of it is made first
	stops    []*cluster.Live    // workloads that go before this one comes: see Plan.stopped
	makers   [][]string         // of what is there and several services use: the steps that each of them needs the image of
}

// Converge makes the plan that brings the cluster to a document. It asks the cluster what it would make of objects that
// are there and differ, and changes nothing.
func Converge(ctx context.Context, c *cluster.Client, d *Document, set *manifest.Set, o *Observed, opts Options, places spec.Places) (*Plan, error) {
	p := &Plan{
		Plan: &planner.Plan{Project: d.Project.Name, Of: "resource"}, Document: d, Observed: o, Number: o.Next(), options: opts, set: set, places: places,
		work: map[string]*work{}, kept: map[string][]string{},
	}
	if err := p.lookForPlace(ctx, c); err != nil {
		return nil, err
	}
	states, err := p.look(ctx, c, set)
	if err != nil {
		return nil, placed(err, set, places)
	}
	p.images(d)
	for _, r := range set.Resources {
		p.resource(r, states, places)
	}
	p.awaits(set)
	p.rollbacks(set)
	p.removals(set)
	p.lookForExternal(ctx, c, set)
	return p, nil
}

// images adds the builds and pushes.
func (p *Plan) images(d *Document) {
	steps := map[string]Image{}
	for _, i := range p.options.Images {
		steps[i.ID()] = i
	}
	for _, id := range sortedKeys(steps) {
		i := steps[id]
		s := &planner.Step{ID: id, Action: i.Action, Resource: strings.TrimPrefix(i.Step, "image ")}
		if i.Action == planner.Build {
			s.Service, s.Name, s.Note = i.Step, d.Project.ImageName(i.Step), "and push"
			if last := p.Observed.Last(); last != nil {
				if before, now := last.Document.Inputs[i.Step], d.Inputs[i.Step]; before != nil && now != nil && before.Sum != now.Sum {
					s.Reasons = inputChanges("services."+i.Step+".build", before, now, d.Project.Places)
				}
			}
		}
		p.work[id] = &work{makes: i.Step}
		p.Steps = append(p.Steps, s)
	}
}

// made are the IDs of the steps that make images of a resource.
func (p *Plan) made(r *manifest.Resource) []string {
	if r.Kind != manifest.OfService && r.Kind != manifest.OfJob {
		return nil
	}
	own := strings.TrimSuffix(path(r), scheduleSuffix(r))
	var ids []string
	for at, i := range p.options.Images {
		if at == own || strings.HasPrefix(at, own+".pre_start[") || strings.HasPrefix(at, manifest.Mounted(own, "")) {
			ids = append(ids, i.ID())
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// resource adds the step of a resource, if it is to change.
func (p *Plan) resource(r *manifest.Resource, states map[string]*state, places spec.Places) {
	w := &work{resource: r, changed: map[string]bool{}}
	isNew, isReplaced, isFound := true, false, false
	var found []fields.Drift
	var failures, missing []string
	for _, o := range r.Objects {
		s := states[o.ID()]
		isNew = isNew && s.live == nil
		isFound = isFound || s.live != nil && p.Observed.Objects[o.ID()] == nil
		if s.failure != "" {
			failures = append(failures, s.failure)
		}
		if s.live != nil && !s.changed {
			continue
		}
		w.changed[o.ID()] = true
		if s.live == nil {
			missing = append(missing, strings.ToLower(o.Kind.Kind)+" "+o.Name)
		} else {
			isReplaced = isReplaced || s.template
			for _, d := range s.drifts {
				d.Path = fmt.Sprintf("%s %s: %s", strings.ToLower(o.Kind.Kind), o.Name, strings.TrimPrefix(d.Path, "."))
				found = append(found, d)
			}
		}
	}
	name := r.Key
	makers := p.made(r)
	w.remade = len(makers) > 0
	w.stops = p.stopped(r)
	if len(w.changed) == 0 && !w.remade && len(w.stops) == 0 {
		p.Leave++
		return
	}
	s := &planner.Step{Resource: r.Name(), Name: r.Key}
	switch r.Kind {
	case manifest.OfVolume:
		s.Action, s.Resource = pick(isNew, planner.CreateVolume, planner.UpdateVolume), r.Key
	case manifest.OfNetwork:
		s.Action, s.Resource = pick(isNew, planner.CreateNetwork, planner.UpdateNetwork), r.Key
	case manifest.OfConfig, manifest.OfSecret, manifest.OfGate:
		s.Action = planner.Apply
	default:
		s.Service = name
		was := p.liveOf(r)
		isNew = isNew || was == nil && !isFound
		s.Action = pick(isNew, planner.Create, planner.Update)
		if r.OneShot && r.Kind == manifest.OfService && was != nil {
			isNew = false
		}
		if len(w.stops) > 0 && was == nil {
			s.Reasons = []planner.Reason{{Text: titleOf(w.stops[0]) + " is stopped first: the volume is of one pod at a time"}}
		}
		if was != nil && was.GetKind() != r.Workload.Kind.Kind { // its pods are another object's from here on
			isNew, isReplaced = false, true
			r.Rolls = fmt.Sprintf("a %s in place of a %s", r.Workload.Kind.Kind, was.GetKind())
			if len(w.stops) > 0 {
				r.Rolls += ", which is stopped first: its volume is of one pod at a time"
			}
		}
		if r.OneShot && len(w.stops) > 0 && was != nil && was.GetKind() == r.Workload.Kind.Kind {
			r.Rolls = "a new job; the one that runs is stopped first"
		}
		if !isNew && (isReplaced || w.remade || r.OneShot && w.changed[r.Workload.ID()]) {
			s.Action, s.Note = planner.Replace, r.Rolls
		}
		s.Needs = append(s.Needs, makers...)
	}
	s.ID = string(s.Action) + " " + s.Resource
	switch isBare := s.Action == planner.Update && s.Note == ""; {
	case isBare && len(failures) > 0:
		s.Note = "is refused"
	}
	if !isNew {
		s.Reasons = p.reasons(r, found, missing, places)
		switch { // failures tell why it is in the plan
		case len(s.Reasons) == 0 && len(failures) == 0 && isFound:
			s.Reasons = []planner.Reason{{Text: "it is there, and taken over"}}
		case len(s.Reasons) == 0 && len(failures) == 0:
			s.Reasons = []planner.Reason{{Text: "it is written otherwise than it was"}}
		}
	}
	p.Warnings = append(p.Warnings, failures...)
	w.failures = failures
	p.work[s.ID] = w
	p.Steps = append(p.Steps, s)
}

func pick(isNew bool, create, otherwise planner.Action) planner.Action {
	if isNew {
		return create
	}
	return otherwise
}

// path is that of a resource in the stack file.
func path(r *manifest.Resource) string {
	return map[string]string{manifest.OfService: "services.", manifest.OfJob: "jobs.", manifest.OfVolume: "volumes.", manifest.OfNetwork: "networks.", manifest.OfConfig: "configs.", manifest.OfSecret: "secrets."}[r.Kind] + r.Key
}

// reasons are why a resource that is there changes: what the file says otherwise, what others have changed of it, or what is missing.
func (p *Plan) reasons(r *manifest.Resource, found []fields.Drift, missing []string, places spec.Places) []planner.Reason {
	var out []planner.Reason
	if live := p.liveOf(r); live != nil {
		if was := p.Observed.of(live); was != nil {
			switch r.Kind {
			case manifest.OfService, manifest.OfJob:
				out = changes(strings.TrimSuffix(path(r), scheduleSuffix(r)), was.Document, p.Document, places)
			case manifest.OfVolume:
				out = resourceChanges(path(r), was.Document, p.Document, places)
			}
			if was.Document.Gate != p.Document.Gate && len(out) == 0 && len(r.Needs) > 0 {
				out = append(out, planner.Reason{Text: "what waits for depends_on is another, or none (--registry, --no-gates)"})
			}
			if last := p.Observed.Last(); len(out) == 0 && last.Document.Publish != p.Document.Publish {
				out = append(out, planner.Reason{Text: published(last.Document, p.Document)})
			}
			if was.Document.Deadline != p.Document.Deadline && len(out) == 0 {
				out = append(out, planner.Reason{Text: "Kubernetes is told another --timeout"})
			}
		}
	}
	if live := p.liveOf(r); len(out) == 0 && r.Workload != nil && live != nil {
		if was := p.Observed.of(live); was != nil && was.Document.Restarts[r.Key] != p.Document.Restarts[r.Key] {
			out = append(out, planner.Reason{Text: "a restart is asked for"})
		}
	}
	if len(out) == 0 {
		const most = 3
		for _, d := range found[:min(len(found), most)] {
			out = append(out, planner.Reason{Text: "on the cluster, " + d.String()})
		}
	}
	if len(out) == 0 && len(missing) > 0 {
		out = append(out, planner.Reason{Text: "not there: " + strings.Join(missing, ", ")})
	}
	return out
}

// published tells of another --publish.
func published(was, is *Document) string {
	return fmt.Sprintf("--publish: %s -> %s", cmp.Or(was.Publish, manifest.PublishNone), cmp.Or(is.Publish, manifest.PublishNone))
}

// scheduleSuffix is what the name of a job's resource has beyond the job's name.
func scheduleSuffix(r *manifest.Resource) string {
	if r.Kind != manifest.OfJob {
		return ""
	}
	if service := r.Workload.Body["metadata"].(map[string]any)["labels"].(map[string]any)[manifest.LabelService]; service != nil {
		return strings.TrimPrefix(r.Key, fmt.Sprint(service))
	}
	return ""
}

func resourceChanges(path string, was, is *Document, places spec.Places) []planner.Reason {
	return ownChanges(path, was.Own[path], is.Own[path], places)
}

// liveOf is the object of a resource that is there: its workload, or the first one. One that is stopped for it comes before its own, which
// may be what is left of a deploy that has failed. A one-shot that was another job is that job.
func (p *Plan) liveOf(r *manifest.Resource) *cluster.Live {
	if r.Workload == nil {
		return p.Observed.Objects[r.Objects[0].ID()]
	}
	label := fields.At(r.Workload.Body, []string{"metadata", "labels", manifest.LabelService})
	if stopped := p.stopped(r); len(stopped) > 0 && stopped[0].GetLabels()[manifest.LabelService] == label {
		return stopped[0]
	}
	if live := p.Observed.Objects[r.Workload.ID()]; live != nil {
		return live
	}
	if all := p.workloadsOf(r); len(all) > 0 {
		return all[0]
	}
	return nil
}

// workloadsOf are all workloads that are there of the service of a resource.
func (p *Plan) workloadsOf(r *manifest.Resource) []*cluster.Live {
	label := fields.At(r.Workload.Body, []string{"metadata", "labels", manifest.LabelService})
	var out []*cluster.Live
	for _, id := range sortedKeys(p.Observed.Objects) {
		if live := p.Observed.Objects[id]; live.GetLabels()[manifest.LabelService] == label && isWorkload(live.GetKind()) {
			out = append(out, live)
		}
	}
	return out
}

// stopped are the workloads that are to go before a service comes: another Job of it that runs, and of those that have a volume of it that one
// pod has at a time, its own of another kind than it has now, and before it comes those of services that are no more, as of one that had another
// name. A Job that has ended has it no more.
func (p *Plan) stopped(r *manifest.Resource) []*cluster.Live {
	if r.Workload == nil {
		return nil
	}
	var all, jobs []*cluster.Live
	for _, live := range p.workloadsOf(r) {
		switch {
		case live.GetKind() != r.Workload.Kind.Kind:
			all = append(all, live)
		case r.Workload.Kind == manifest.Job && live.GetName() != r.Workload.Name && !hasCondition(live, "Failed", "Complete"):
			jobs = append(jobs, live)
		}
	}
	if p.Observed.Objects[r.Workload.ID()] == nil {
		all = append(all, p.former()...)
	}
	return append(jobs, slices.DeleteFunc(all, func(live *cluster.Live) bool {
		return hasCondition(live, "Failed", "Complete") || !p.hasClaimOf(r, live)
	})...)
}

// former are the workloads that are there of services that are no more.
func (p *Plan) former() []*cluster.Live {
	services := map[any]bool{}
	for _, r := range p.set.Resources {
		if r.Workload != nil {
			services[fields.At(r.Workload.Body, []string{"metadata", "labels", manifest.LabelService})] = true
		}
	}
	var out []*cluster.Live
	for _, id := range sortedKeys(p.Observed.Objects) {
		if live := p.Observed.Objects[id]; isWorkload(live.GetKind()) && !services[live.GetLabels()[manifest.LabelService]] {
			out = append(out, live)
		}
	}
	return out
}

// hasClaimOf says that a workload is to have a claim that one pod has at a time, and another has it.
func (p *Plan) hasClaimOf(r *manifest.Resource, other *cluster.Live) bool {
	volumes, _ := fields.At(other.Object, []string{"spec", "template", "spec", "volumes"}).([]any)
	return slices.ContainsFunc(p.set.Resources, func(claim *manifest.Resource) bool {
		if claim.Kind != manifest.OfVolume || !claim.IsUsedBy(r) || !isAlone(claim.Objects[0]) {
			return false
		}
		return slices.ContainsFunc(volumes, func(v any) bool {
			return fields.At(v, []string{"persistentVolumeClaim", "claimName"}) == claim.Objects[0].Name
		})
	})
}

// isAlone says that pods of one node, or one pod, have a claim at a time.
func isAlone(claim *manifest.Object) bool {
	modes, _ := fields.At(claim.Body, []string{"spec", "accessModes"}).([]any)
	return !slices.Contains(modes, any("ReadWriteMany")) && !slices.Contains(modes, any("ReadOnlyMany"))
}

// Told are the warnings but those that a step fails with.
func (p *Plan) Told() []string {
	return slices.DeleteFunc(slices.Clone(p.Warnings), func(text string) bool {
		for _, w := range p.work {
			if slices.Contains(w.failures, text) {
				return true
			}
		}
		return false
	})
}

// Refused are the resources whose steps fail whatever is done.
func (p *Plan) Refused() (names []string) {
	for _, s := range p.Steps {
		if w := p.work[s.ID]; w != nil && len(w.failures) > 0 {
			names = append(names, s.Resource)
		}
	}
	return names
}

// hasFailed says that a Job has ended without success.
func hasFailed(live *cluster.Live) bool { return hasCondition(live, "Failed") }

// hasCondition says that one of some conditions of an object holds.
func hasCondition(live *cluster.Live, kinds ...string) bool {
	list, _ := fields.At(live.Object, []string{"status", "conditions"}).([]any)
	return slices.ContainsFunc(list, func(item any) bool {
		c, _ := item.(map[string]any)
		kind, _ := c["type"].(string)
		return slices.Contains(kinds, kind) && c["status"] == "True"
	})
}

func isWorkload(kind string) bool {
	return slices.Contains([]string{"Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob"}, kind)
}

// awaits adds the waits: for each service that changes, and before each that depends on one that changes.
func (p *Plan) awaits(set *manifest.Set) {
	byService := map[string]*planner.Step{}
	for _, s := range p.Steps {
		if s.Service != "" && s.Action != planner.Build && s.Action != planner.Push {
			byService[s.Service] = s
		}
	}
	var waits []*planner.Step
	for _, r := range set.Resources {
		s := byService[r.Key]
		if s == nil && r.Kind == manifest.OfService && p.isUnsettled() {
			s = &planner.Step{} // it is as it was applied, and nobody knows whether it is ready
		}
		if s == nil || r.Kind != manifest.OfService && r.Kind != manifest.OfJob {
			continue
		}
		for _, other := range slices.Sorted(maps.Keys(r.Needs)) {
			if byService[other] != nil || p.isUnsettled() {
				if id := awaitID(other); r.Needs[other].Required {
					s.Needs = append(s.Needs, id)
				} else {
					s.After = append(s.After, id)
				}
			}
		}
		if r.Kind == manifest.OfJob {
			continue // it runs when it is time
		}
		if p.options.Wait || p.isNeeded(set, r.Key, byService) {
			w := &planner.Step{ID: awaitID(r.Key), Action: planner.Await, Resource: r.Key + " ready", Service: r.Key, Condition: spec.ServiceHealthy}
			if s.ID != "" {
				w.Needs = []string{s.ID}
			}
			if c := p.Document.Project.Services[r.Key].HealthCheck; (c == nil || c.Disable) && p.Document.Checks[r.Key] == nil {
				w.Condition = spec.ServiceStarted
			}
			if r.OneShot {
				w.Resource, w.Condition = r.Key+" completed", spec.ServiceCompleted
			}
			p.work[w.ID] = &work{resource: r}
			waits = append(waits, w)
		}
	}
	p.shared(set, byService)
	p.Steps = append(p.Steps, waits...)
	p.sort()
}

// shared puts what services use before them, and behind what all of its services need: where an image of those can't be made, what they
// use is left as it was, too. What is there and pods have by now changes only when one of its services is known to go on.
func (p *Plan) shared(set *manifest.Set, byService map[string]*planner.Step) {
	before := map[string][]string{} // what services need, by their names
	for name, s := range byService {
		before[name] = slices.Clone(s.Needs)
	}
	for _, s := range p.Steps {
		w := p.work[s.ID]
		if w == nil || w.resource == nil || w.resource.Workload != nil {
			continue
		}
		var needs []string
		isFirst, isFree := true, false
		for _, r := range set.Resources {
			if !w.resource.IsUsedBy(r) {
				continue
			}
			user := byService[r.Key]
			if user != nil {
				user.Needs = append(user.Needs, s.ID)
			}
			makers := p.makersBehind(r.Key, set, byService)
			w.makers, isFree = append(w.makers, makers), isFree || len(makers) == 0
			if isFirst {
				needs, isFirst = slices.Clone(before[r.Key]), false
			}
			needs = slices.DeleteFunc(needs, func(id string) bool { return !slices.Contains(before[r.Key], id) })
		}
		s.Needs = append(s.Needs, needs...)
		if isFree || p.liveOf(w.resource) == nil {
			w.makers = nil
			continue
		}
		for _, makers := range w.makers {
			s.After = append(s.After, makers...)
		}
		slices.Sort(s.After)
		s.After = slices.Compact(s.After)
	}
}

// makersBehind are the steps that make the images that a service needs: its own, and those of what it depends on.
func (p *Plan) makersBehind(service string, set *manifest.Set, byService map[string]*planner.Step) (ids []string) {
	seen := map[string]bool{}
	var add func(key string)
	add = func(key string) {
		if seen[key] || byService[key] == nil {
			return
		}
		seen[key] = true
		for _, r := range set.Resources {
			if r.Key != key || r.Workload == nil {
				continue
			}
			ids = append(ids, p.made(r)...)
			for other, how := range r.Needs {
				if how.Required {
					add(other)
				}
			}
		}
	}
	add(service)
	slices.Sort(ids)
	return slices.Compact(ids)
}

// isUnsettled says that the deploy before has failed, or was cut off: what it applied may not be ready.
func (p *Plan) isUnsettled() bool {
	last := p.Observed.Last()
	return last != nil && last.State != StateDeployed
}

func awaitID(service string) string { return "await " + service }

// isNeeded says that a service is waited for although nobody waits for all.
func (p *Plan) isNeeded(set *manifest.Set, service string, byService map[string]*planner.Step) bool {
	for _, r := range set.Resources {
		if _, needs := r.Needs[service]; needs && byService[r.Key] != nil {
			return true
		}
	}
	return false
}

// sort puts each step behind those that it needs.
func (p *Plan) sort() {
	byID := map[string]*planner.Step{}
	for _, s := range p.Steps {
		byID[s.ID] = s
	}
	var out []*planner.Step
	seen := map[string]bool{}
	var add func(s *planner.Step)
	add = func(s *planner.Step) {
		if s == nil || seen[s.ID] {
			return
		}
		seen[s.ID] = true
		for _, id := range slices.Concat(s.Needs, s.After) {
			add(byID[id])
		}
		out = append(out, s)
	}
	for _, s := range p.Steps {
		slices.Sort(s.Needs)
		add(s)
	}
	p.Steps = out
}

// rollbacks adds what takes the update of a service back that does not become ready, where update_config says so.
func (p *Plan) rollbacks(set *manifest.Set) {
	for _, s := range slices.Clone(p.Steps) {
		if s.Action != planner.Replace || p.Step(awaitID(s.Service)) == nil {
			continue
		}
		service := p.Document.Project.Services[s.Service]
		if service == nil {
			continue
		}
		if _, wanted := service.Rollback(); !wanted {
			continue
		}
		live := p.liveOf(p.work[s.ID].resource)
		was := p.Observed.of(live)
		if live == nil || was == nil {
			continue
		}
		name := fmt.Sprintf("revision %d", was.Number)
		back := &planner.Step{
			ID: "rollback " + s.Service, Action: planner.Rollback, Resource: s.Service, Service: s.Service, Name: name, Undoes: s.ID,
			IfFailed: []string{awaitID(s.Service)}, After: []string{awaitID(s.Service)}, Applied: &planner.Applied{},
		}
		p.work[back.ID] = &work{resource: p.work[s.ID].resource, previous: was.Document, revision: was.Number}
		p.Steps = append(p.Steps, back)
	}
}

// removals adds the removal of what the stack file no longer has. Claims stay: they hold data.
func (p *Plan) removals(set *manifest.Set) {
	wanted := map[string]bool{}
	workloads := map[string]bool{}
	for _, r := range set.Resources {
		for _, o := range r.Objects {
			wanted[o.ID()] = true
		}
		if r.Workload != nil {
			workloads[fmt.Sprint(fields.At(r.Workload.Body, []string{"metadata", "labels", manifest.LabelService}))] = true
		}
	}
	gone := map[string][]*cluster.Live{}
	var stays []string
	for _, id := range slices.Sorted(maps.Keys(p.Observed.Objects)) {
		live := p.Observed.Objects[id]
		switch {
		case wanted[id] || live.GetDeletionTimestamp() != nil:
		case live.GetKind() == manifest.VolumeClaim.Kind:
			stays = append(stays, live.GetName())
		default:
			service := live.GetLabels()[manifest.LabelService]
			if workloads[service] {
				service = ""
			}
			gone[service] = append(gone[service], live)
		}
	}
	if len(stays) > 0 {
		p.Warnings = append(p.Warnings, fmt.Sprintf("%s of volumes that no service of the stack file has: %s; they keep their data until \"orlop deploy volume rm\"", claims(len(stays)), strings.Join(stays, ", ")))
	}
	var all []string
	for _, s := range p.Steps {
		if s.Action != planner.Rollback {
			all = append(all, s.ID)
		}
	}
	absent, needless := "no longer in the stack file", "nothing that is deployed needs them any more"
	if p.options.Note != "" {
		absent, needless = "not in that revision", "nothing of that revision needs them"
	}
	for _, service := range slices.Sorted(maps.Keys(gone)) {
		s := &planner.Step{Action: planner.Remove, Resource: service, Needs: slices.Clone(all), Reasons: []planner.Reason{{Text: absent}}}
		if service == "" {
			s.Resource = "former objects"
			s.Reasons = []planner.Reason{{Text: listed(gone[""]) + ": " + needless}}
		}
		s.ID = "remove " + s.Resource
		p.work[s.ID] = &work{remove: gone[service]}
		p.Steps = append(p.Steps, s)
	}
}

func claims(n int) string { return spec.Plural(n, "claim") }

func listed(objects []*cluster.Live) string {
	const most = 3
	var names []string
	for _, o := range objects {
		names = append(names, strings.ToLower(o.GetKind())+" "+o.GetName())
	}
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}
