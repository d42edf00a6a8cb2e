package planner

import (
	"maps"
	"slices"
	"strings"

	"github.com/orlop/orlop/spec"
)

// DownOptions say what Down removes besides containers and networks.
type DownOptions struct {
	Services      []string `json:"services,omitempty"` // only these; networks stay then
	Volumes       bool     `json:"volumes,omitempty"`
	RemoveImages  string   `json:"remove_images,omitempty"` // "", local or all
	RemoveOrphans bool     `json:"remove_orphans,omitempty"`
	Images        []string `json:"images,omitempty"` // these images go too, whatever RemoveImages says
	Limit         int      `json:"limit,omitempty"`  // steps at once; 0: any number
}

// Down plans the removal of what exists of a project: containers, dependents
// first, then networks, and volumes and images if asked. The project may be
// nil; everything observed goes then.
func Down(name string, project *spec.Project, observed *Observed, opts DownOptions) *Plan {
	plan := &Plan{Project: name, Steps: []*Step{}, Limit: opts.Limit}
	steps := map[string][]string{}
	all := len(opts.Services) == 0
	if all {
		plan.unscheduleAll(observed)
	}
	for _, k := range dependentsFirst(observed) {
		if !all && !slices.Contains(opts.Services, k.Service) {
			continue
		}
		if project != nil && all && !opts.RemoveOrphans && isOrphan(project, k) {
			plan.Orphans = append(plan.Orphans, resource(k.Service, k.Number))
			continue
		}
		step := plan.add(&Step{
			Action: Remove, Resource: containerResource(k), Service: k.Service, Number: k.Number, Container: k.ID,
			After: afterDependents(observed, k, steps),
		})
		steps[k.Service] = append(steps[k.Service], step.ID)
	}
	if !all {
		return plan
	}
	after := slices.Concat(slices.Collect(maps.Values(steps))...)
	if len(plan.Orphans) == 0 {
		for _, n := range slices.Sorted(maps.Keys(observed.Networks)) {
			if net := observed.Networks[n]; net.Project == name {
				plan.add(&Step{Action: RemoveNetwork, Resource: net.Key, Name: n, After: slices.Clone(after)})
			}
		}
	}
	if opts.Volumes {
		for _, v := range slices.Sorted(maps.Keys(observed.Volumes)) {
			if vol := observed.Volumes[v]; vol.Project == name {
				plan.add(&Step{Action: RemoveVolume, Resource: vol.Key, Name: v, After: slices.Clone(after)})
			}
		}
	}
	planImageRemoval(plan, project, observed, opts, after)
	return plan
}

func planImageRemoval(plan *Plan, project *spec.Project, observed *Observed, opts DownOptions, after []string) {
	remove := func(ref string) {
		plan.add(&Step{Action: RemoveImage, Resource: ref, Name: ref, After: slices.Clone(after)})
	}
	for _, ref := range opts.Images {
		remove(ref)
	}
	if opts.RemoveImages == "" || project == nil {
		return
	}
	for _, ref := range slices.Sorted(maps.Keys(observed.Images)) {
		wanted := false
		for _, name := range slices.AppendSeq(project.ScheduledWork(), maps.Keys(project.Services)) {
			s := project.Buildable(name)
			wanted = wanted || opts.RemoveImages == "all" && (slices.Contains(s.MountedImages(), ref) || slices.ContainsFunc(s.PreStart, func(init *spec.Service) bool { return init.Image == ref }))
			wanted = wanted || (opts.RemoveImages == "all" || project.OwnsImage(name)) && isNameOf(project, observed, name, ref)
		}
		for name := range project.Bases {
			wanted = wanted || opts.RemoveImages == "all" && isNameOf(project, observed, name, ref)
		}
		if wanted && !slices.Contains(opts.Images, ref) {
			remove(ref)
		}
	}
}

// isNameOf says that a reference names the image of a service. A tag of its build does
// while it points to that image: somebody else may have given it to another since.
func isNameOf(project *spec.Project, observed *Observed, service, ref string) bool {
	own := project.ImageName(service)
	return ref == own || slices.Contains(project.NamesOf(service), ref) && observed.Images[ref].Digest == observed.Images[own].Digest
}

// Lifecycle plans stop, start, restart, kill or remove for the containers of
// the given services, or of all: dependencies before dependents to start,
// dependents first to stop. A start takes along what a service depends on and
// that does not run; a restart takes those along that depend on a restarted
// service with restart: true (Compose Specification, depends_on). A one-shot
// that others wait for and that has completed is started again only if it is
// named.
func Lifecycle(name string, observed *Observed, action Action, services []string, signal string) *Plan {
	plan := &Plan{Project: name, Steps: []*Step{}}
	steps := map[string][]string{}
	order := dependentsFirst(observed)
	starting := action == Start || action == Restart
	if starting {
		slices.Reverse(order)
	}
	named := services
	switch {
	case len(named) == 0:
	case action == Restart:
		services = withRestarted(order, named)
	case action == Start:
		services = withDependencies(order, named)
	}
	follows := map[string][]link{} // of services that are left as they are
	for _, k := range order {
		left := len(services) > 0 && !slices.Contains(services, k.Service) || !applies(action, k, slices.Contains(named, k.Service)) ||
			starting && !slices.Contains(named, k.Service) && k.IsCompleted() && isAwaited(k.Service, order)
		var links []link
		if starting {
			links = linksOf(k, steps, follows)
		}
		if left {
			follows[k.Service] = append(follows[k.Service], links...)
			continue
		}
		if action == Start {
			links = append(links, unmet(k, observed, steps)...)
		}
		do, why := action, []Reason(nil)
		if k.Paused && action == Start {
			do, why = Unpause, []Reason{{Text: "it is paused"}}
		}
		step := &Step{
			Action: do, Resource: containerResource(k), Service: k.Service, Number: k.Number,
			Container: k.ID, Signal: signal, Reasons: why,
		}
		for _, l := range links {
			plan.follow(step, l, steps[l.service])
		}
		if !starting && action != Pause && action != Unpause {
			step.After = afterDependents(observed, k, steps)
		}
		plan.add(step)
		steps[k.Service] = append(steps[k.Service], step.ID)
	}
	if len(named) == 0 {
		plan.suspendAll(observed, action)
	}
	return plan
}

// AwaitReady has the plan wait until each service that has containers, of those named if
// any are, is ready.
func (p *Plan) AwaitReady(observed *Observed, services []string) {
	ids := map[string][]string{}
	for _, s := range p.Steps {
		ids[s.Service] = append(ids[s.Service], s.ID)
	}
	var names []string
	for _, k := range observed.Containers {
		if !k.OneOff && (len(services) == 0 || slices.Contains(services, k.Service)) {
			names = append(names, k.Service)
		}
	}
	for _, name := range compact(names) {
		p.Steps = append(p.Steps, newAwait(name, Ready, ids[name]))
	}
}

// link is what the start of a container follows: that of a service, or a
// condition that it is to meet.
type link struct {
	service, condition string
	required           bool
}

// unmet are conditions of a container's depends_on that services which are on their way do not meet yet.
func unmet(k *Container, observed *Observed, steps map[string][]string) []link {
	var links []link
	for _, dep := range dependsOn(k) {
		how := k.Applied.Service.DependsOn[dep]
		isUnmet := func(other Container) bool {
			isOnItsWay := other.Service == dep && !other.OneOff && (other.State == Running || other.State == Restarting)
			return isOnItsWay && (how.Condition == spec.ServiceCompleted || how.Condition == spec.ServiceHealthy && other.Health != Healthy)
		}
		if len(steps[dep]) == 0 && slices.ContainsFunc(observed.Containers, isUnmet) {
			links = append(links, link{service: dep, condition: how.Condition, required: how.Required})
		}
	}
	return links
}

// linksOf are those among the services that have steps that a container
// depends on, itself or by one that is left as it is.
func linksOf(k *Container, steps map[string][]string, follows map[string][]link) []link {
	var links []link
	for _, dep := range dependsOn(k) {
		if len(steps[dep]) == 0 {
			links = append(links, follows[dep]...)
			continue
		}
		how, declared := k.Applied.Service.DependsOn[dep] // else it has something of that service: its network, its volumes
		links = append(links, link{service: dep, condition: how.Condition, required: how.Required || !declared})
	}
	return links
}

// follow puts a step after those of a service, and after the wait for the
// condition of depends_on if that waits for more than the start.
func (p *Plan) follow(step *Step, l link, ids []string) {
	if l.condition != spec.ServiceHealthy && l.condition != spec.ServiceCompleted {
		if l.required && step.Action == Start { // as with an up, it is not started without
			step.Needs = append(step.Needs, ids...)
		} else {
			step.After = append(step.After, ids...)
		}
		return
	}
	await := newAwait(l.service, l.condition, ids)
	if known := p.Step(await.ID); known != nil {
		await = known
	} else {
		await.Optional = true
		p.Steps = append(p.Steps, await)
	}
	if l.required {
		await.Optional = false
		step.Needs = append(step.Needs, await.ID)
	} else {
		step.After = append(step.After, await.ID)
	}
}

// withRestarted adds the services that run and restart with the given ones;
// order has dependencies first.
func withRestarted(order []*Container, services []string) []string {
	services = slices.Clone(services)
	for _, k := range order {
		if k.Applied == nil || k.State != Running || slices.Contains(services, k.Service) {
			continue
		}
		for dep, how := range k.Applied.Service.DependsOn {
			if how.Restart && slices.Contains(services, dep) {
				services = append(services, k.Service)
				break
			}
		}
	}
	return services
}

// withDependencies adds the services that the given ones must have; order has
// dependencies first.
func withDependencies(order []*Container, services []string) []string {
	services = slices.Clone(services)
	for _, k := range slices.Backward(order) {
		if !slices.Contains(services, k.Service) {
			continue
		}
		for _, dep := range dependsOn(k) {
			how, conditional := k.Applied.Service.DependsOn[dep]
			if (how.Required || !conditional) && !slices.Contains(services, dep) {
				services = append(services, dep)
			}
		}
	}
	return services
}

// isAwaited says that some container waits for a service to complete.
func isAwaited(service string, all []*Container) bool {
	return slices.ContainsFunc(all, func(k *Container) bool {
		return k.Applied != nil && k.Applied.Service != nil && k.Applied.Service.DependsOn[service].Condition == spec.ServiceCompleted
	})
}

// applies says whether the action would change the container at all, or fail, which who
// names it is to hear.
func applies(action Action, k *Container, isNamed bool) bool {
	switch action {
	case Start:
		return k.State == Created || k.State == Exited || k.Paused
	case Pause:
		return k.State == Running && (isNamed || !k.Paused)
	case Unpause:
		return k.State == Running && (isNamed || k.Paused)
	case Stop, Kill:
		return k.State == Running || k.State == Restarting || k.State == Stopping
	}
	return true
}

func containerResource(k *Container) string {
	if k.OneOff {
		return k.Name
	}
	return resource(k.Service, k.Number)
}

func isOrphan(p *spec.Project, k *Container) bool {
	_, known := p.Services[k.Service]
	_, disabled := p.Disabled[k.Service]
	_, job := p.Jobs[k.Service] // that another one depends on
	return !known && !disabled && !job && !k.OneOff
}

// afterDependents lists the steps of those that depend on k's service.
func afterDependents(observed *Observed, k *Container, steps map[string][]string) []string {
	var ids []string
	for i := range observed.Containers {
		d := &observed.Containers[i]
		if d.Service != k.Service && slices.Contains(dependsOn(d), k.Service) {
			ids = append(ids, steps[d.Service]...)
		}
	}
	return ids
}

// dependsOn lists the services that a container was made to depend on.
func dependsOn(k *Container) []string {
	if k.Applied == nil || k.Applied.Service == nil {
		return nil
	}
	deps := slices.Collect(maps.Keys(k.Applied.Service.DependsOn))
	return compact(append(deps, SharedWith(k.Applied.Service)...))
}

// dependentsFirst orders the containers so that each comes before what it
// depends on; by name and number among equals.
func dependentsFirst(observed *Observed) []*Container {
	by := map[string][]*Container{}
	deps := map[string][]string{}
	for i := range observed.Containers {
		k := &observed.Containers[i]
		by[k.Service] = append(by[k.Service], k)
		deps[k.Service] = append(deps[k.Service], dependsOn(k)...)
	}
	var order []*Container
	seen := map[string]bool{}
	var visit func(string)
	visit = func(name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		for _, dep := range compact(deps[name]) {
			visit(dep)
		}
		slices.SortFunc(by[name], func(a, b *Container) int {
			if a.Number != b.Number {
				return a.Number - b.Number
			}
			return strings.Compare(a.ID, b.ID)
		})
		order = append(order, by[name]...)
	}
	for _, name := range slices.Sorted(maps.Keys(by)) {
		visit(name)
	}
	slices.Reverse(order)
	return order
}
