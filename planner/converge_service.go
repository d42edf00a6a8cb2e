package planner

import (
	"fmt"
	"maps"
	"slices"

	"github.com/orlop/orlop/planner/difference"
	"github.com/orlop/orlop/spec"
)

// planService adds the steps for the containers of one service that are wanted.
func (c *converger) planService(name string) error {
	s := c.project.Services[name]
	want := Wanted(c.project, name, c.opts.Files)
	needs, after := c.needs(name, s)
	taken := map[int]bool{}
	for _, k := range c.staying(name) {
		taken[k.Number] = true
		c.planReplica(s, name, k, want, needs, after)
	}
	why := Reason{Path: "services." + name, Text: "it does not exist yet", Place: c.project.Places.Nearest("services." + name)}
	if len(taken) > 0 {
		why = c.scaled(name)
	}
	for n, missing := 1, s.Replicas()-len(taken); missing > 0; n++ {
		if taken[n] {
			continue
		}
		if missing--; c.opts.isFire() && len(c.containers(name)) > 0 {
			continue
		}
		c.up(&Step{
			Action: Create, Service: name, Number: n, Applied: want, NoStart: c.opts.NoStart,
			Needs: slices.Clone(needs), After: slices.Clone(after), Reasons: []Reason{why},
		})
	}
	c.planBatches(name, s)
	return c.planInit(name, s, needs, after)
}

// scaled is the reason of replicas that come or go.
func (c *converger) scaled(name string) Reason {
	s := c.project.Services[name]
	path := "services." + name + ".scale"
	if s.Scale == nil && s.Deploy != nil {
		path = "services." + name + ".deploy.replicas"
	}
	return Reason{Path: path, Text: fmt.Sprintf("scaled to %d", s.Replicas()), Place: c.project.Places.Nearest(path)}
}

// planReplica decides about one container that exists and is wanted.
func (c *converger) planReplica(s *spec.Service, name string, k *Container, want *Applied, needs, after []string) {
	step := &Step{Service: name, Number: k.Number, Container: k.ID, Applied: want, NoStart: c.opts.NoStart, Overlap: s.StartsFirst()}
	ch, ifChanged := c.changes(s, name, k, want)
	isUp := k.IsUp() && !k.failsToStart() && (!k.IsCompleted() || s.IsOneShot() && !c.isToStay(name, s) && !slices.Contains(c.opts.Again, name))
	switch {
	case c.forced(name):
		step.Action, step.Reasons = Replace, []Reason{{Text: "recreation is asked for"}}
	case len(ch.replace) > 0 && !c.opts.NoRecreate:
		step.Action, step.Reasons, step.IfChanged = Replace, append(ch.replace, ch.update...), ifChanged
		switch {
		case ifChanged && !isUp:
			step.IfChanged = false
		case ifChanged && k.Paused && !c.opts.NoStart:
			step.Otherwise = Unpause
		case ifChanged && len(ch.update) > 0:
			step.Otherwise = Update
		}
	case k.Dead != "" && !c.opts.NoStart:
		step.Action, step.Reasons = Restart, append([]Reason{{Text: k.Dead}}, ch.update...)
	case k.Unready && isUp && len(s.PostStart) > 0 && !c.opts.NoStart:
		step.Action, step.Reasons = Start, append([]Reason{{Text: "its post_start has not been run to its end"}}, ch.update...)
	case k.Paused && !c.opts.NoStart:
		step.Action, step.Reasons = Unpause, append([]Reason{{Text: "it is paused"}}, ch.update...)
	case len(k.Lost) > 0 && k.State == Running:
		step.Action, step.Reasons = Update, append(lost(k.Lost), ch.update...)
	case len(ch.update) > 0 && !c.opts.NoRecreate && (isUp || c.opts.NoStart):
		step.Action, step.Reasons = Update, ch.update
	case !isUp && !c.opts.NoStart:
		step.Action, step.Reasons = Start, append([]Reason{{Text: whyDown(k)}}, ch.update...)
	default:
		c.reattach(k)
		if len(c.backOf(name, k.ID)) == 0 {
			c.plan.Leave++
		}
		return
	}
	if step.Action != Replace || step.IfChanged { // it may stay
		c.reattach(k)
		step.Needs = c.backOf(name, k.ID)
	}
	if step.Action == Replace && !step.IfChanged {
		c.warnJoined(k, want)
	}
	for key := range s.Networks {
		if made := c.network[key]; made != nil && step.Action == Update { // which brings it back where it was taken off
			step.Needs = append(step.Needs, made.ID)
		}
	}
	if at := k.rolledBack(); step.Action == Replace && !at.IsZero() {
		path := "services." + name + ".deploy.update_config.failure_action"
		text := "its last update was rolled back at " + at.UTC().Format("2006-01-02 15:04 UTC")
		step.Reasons = append(step.Reasons, Reason{Path: path, Text: text, Place: c.project.Places.Nearest(path)})
	}
	if step.Action == Replace || step.Action == Start || step.Action == Restart {
		step.Needs, step.After = append(step.Needs, needs...), slices.Clone(after)
	}
	c.up(step)
}

// warnJoined tells of the networks that somebody has connected a container to: the one that replaces it is not on them.
func (c *converger) warnJoined(k *Container, want *Applied) {
	if k.Applied == nil {
		return
	}
	own := slices.Concat(slices.Collect(maps.Values(k.Applied.Networks)), slices.Collect(maps.Values(want.Networks)))
	for _, name := range k.Networks {
		if !slices.Contains(own, name) {
			c.plan.Warnings = append(c.plan.Warnings, fmt.Sprintf("%s leaves network %s, which it was connected to by hand, as it is replaced: list it in the stack file, or connect it again", containerResource(k), name))
		}
	}
}

// forced says that recreation is asked for: of the services that the user
// names, or of what they depend on.
func (c *converger) forced(name string) bool {
	if len(c.opts.Services) == 0 || slices.Contains(c.opts.Services, name) {
		return c.opts.ForceRecreate
	}
	return c.opts.RecreateDeps
}

// isToStay says that a service is to run on, though it may end with code 0 by its policy:
// others wait for it to be healthy, or it has a health check and nobody waits for its end.
func (c *converger) isToStay(name string, s *spec.Service) bool {
	isAwaited := s.HealthCheck != nil && !s.HealthCheck.Disable && !slices.Equal(s.HealthCheck.Test, []string{"NONE"})
	for _, other := range c.project.Services {
		switch other.DependsOn[name].Condition {
		case spec.ServiceCompleted:
			return false
		case spec.ServiceHealthy:
			isAwaited = true
		}
	}
	return isAwaited
}

// changes is the difference between a container and what is wanted. The second
// result says that only an image still to be made speaks for a replacement.
func (c *converger) changes(s *spec.Service, name string, k *Container, want *Applied) (change, bool) {
	if k.Applied == nil {
		return change{replace: []Reason{{Text: "nothing is known of what it was made from"}}}, false
	}
	ch := diffOf(name, k.Applied, want, c.observed.Machine, c.project.Places)
	ch.replace = append(ch.replace, c.volumeReasons(k)...)
	ch.replace = append(ch.replace, c.backingReasons(k, want)...)
	ch.replace = append(ch.replace, c.appeared(name, s, k)...)
	ch.replace = append(ch.replace, c.turned(name, s, k)...)
	ch.replace = append(ch.replace, c.newSources(name, s)...)
	ref := c.project.ImageName(name)
	path := "services." + name + ".image"
	if was := k.Applied.Service.Image; was != s.Image {
		ch.replace = append(ch.replace, difference.Of(path, difference.Named(was), difference.Named(s.Image), c.project.Places))
		return ch, false
	}
	if img, ok := c.observed.Images[ref]; ok && k.Applied.Image != "" && img.Digest != k.Applied.Image {
		ch.replace = append(ch.replace, Reason{Path: path, Text: ref + " is another image now", Place: c.project.Places.Nearest(path)})
	}
	ch.replace = append(ch.replace, c.mountedReasons(name, s, k)...)
	void := len(ch.replace) == 0
	for _, step := range append([]*Step{c.image[name]}, c.mounted[name]...) {
		if step != nil {
			ch.replace = append(ch.replace, imageReason(step, name, c.project.Places))
		}
	}
	return ch, void && len(ch.replace) > 0
}

// newSources are the reasons to replace a container whose volumes are those of
// another that is made anew. One that is replaced hands them on.
func (c *converger) newSources(name string, s *spec.Service) []Reason {
	var rs []Reason
	for i, from := range s.Sources() {
		made := slices.ContainsFunc(c.ups[from.Service], func(step *Step) bool { return step.Action == Create && step.Number == 1 })
		if made && from.Service != "" {
			path := fmt.Sprintf("services.%s.volumes_from[%d]", name, i)
			rs = append(rs, Reason{Path: path, Text: from.Service + " is made anew", Place: c.project.Places.Nearest(path)})
		}
	}
	return rs
}

// imageReason says why an image that is built or pulled anew may replace a
// container: the reasons of the image's own step.
func imageReason(step *Step, name string, places spec.Places) Reason {
	text := "its image is pulled anew"
	if step.Action == Build {
		text = "its image is built anew"
		if len(step.Reasons) > 0 && step.Reasons[0].Text != "" {
			text = "image: " + step.Reasons[0].Text
		}
	}
	path := "services." + name + ".image"
	return Reason{Path: path, Text: text, Place: places.Nearest("services." + name)}
}

func (c *converger) renewed(service string) bool {
	return slices.ContainsFunc(c.ups[service], func(s *Step) bool { return s.Action == Replace || s.Action == Create })
}

// lost are the reasons of a step that gives back what is missing.
func lost(what []string) []Reason {
	var rs []Reason
	for _, text := range what {
		rs = append(rs, Reason{Text: text})
	}
	return rs
}

func whyDown(k *Container) string {
	switch {
	case k.failsToStart():
		return "it does not run: " + k.Error
	case k.State == Created:
		return "it was never started"
	case k.Stopped || k.State == Stopping:
		return "it is stopped"
	case k.OOMKilled:
		return "it ran out of memory"
	}
	return fmt.Sprintf("it exited with code %d", k.ExitCode)
}

// up adds a step for a container. What it publishes and is named may have to
// be given up first by a container that goes.
func (c *converger) up(step *Step) {
	step.Resource = resource(step.Service, step.Number)
	if step.Applied != nil {
		for i, k := range c.going {
			if k.Applied != nil && clash(step.Applied.Service, k.Applied.Service) {
				step.After = append(step.After, c.removals[i].ID)
			}
		}
	}
	c.ups[step.Service] = append(c.ups[step.Service], c.plan.add(step))
	if step.Action == Create || step.Action == Replace {
		c.noteAbsent(step.Service)
	}
}

// clash says that two services can't have a container at the same time.
func clash(a, b *spec.Service) bool {
	if a.ContainerName != "" && a.ContainerName == b.ContainerName {
		return true
	}
	for _, p := range a.Ports {
		for _, q := range b.Ports {
			if p.Published != "" && p.Published == q.Published && p.Protocol == q.Protocol {
				return true
			}
		}
	}
	return false
}

// remove adds the removal of a container, once the needed step has succeeded, if there is one.
func (c *converger) remove(k *Container, why Reason, need *Step) {
	step := &Step{
		Action: Remove, Resource: containerResource(k), Service: k.Service, Number: k.Number,
		Container: k.ID, Reasons: []Reason{why},
	}
	if need != nil {
		step.Needs = []string{need.ID}
	}
	c.going, c.removals = append(c.going, k), append(c.removals, c.plan.add(step))
}

// planRemovals removes the replicas that are too many, and removes or only
// names the containers of services that the stack file no longer has.
func (c *converger) planRemovals(order []string) {
	for _, name := range order {
		if name == c.opts.Prepare || c.opts.isFire() { // whose project has the run's own number of containers
			continue
		}
		stay := c.staying(name)
		var image *Step // without which those that stay are as they were, all of them; where none is to stay, none needs it
		if len(stay) > 0 {
			image = c.image[name]
		}
		for _, k := range c.containers(name) {
			switch {
			case slices.Contains(stay, k):
			case slices.ContainsFunc(stay, func(other *Container) bool { return other.Number == k.Number }):
				c.remove(k, Reason{Text: "a second container of the same number"}, image)
			default:
				c.remove(k, c.scaled(name), image)
			}
		}
	}
	for i := range c.observed.Containers {
		k := &c.observed.Containers[i]
		switch {
		case c.isEndedRun(k) && c.opts.RemoveOrphans:
			c.remove(k, Reason{Text: "a run that has ended"}, nil)
		case c.isEndedRun(k) && c.opts.Prepare != "":
			c.plan.EndedRuns = append(c.plan.EndedRuns, k.Name)
		case !c.isOrphan(k):
		case c.opts.RemoveOrphans:
			c.remove(k, Reason{Text: "no longer in the stack file"}, nil)
		default:
			c.plan.Orphans = append(c.plan.Orphans, resource(k.Service, k.Number))
		}
	}
	slices.Sort(c.plan.Orphans)
	slices.Sort(c.plan.EndedRuns)
}

// isEndedRun says that a container is what a run has left, which is removed with the orphans.
// What jobs have left tells of them.
func (c *converger) isEndedRun(k *Container) bool {
	return k.OneOff && k.State == Exited && c.project.Jobs[k.Service] == nil && !c.opts.isFire()
}

func (c *converger) isOrphan(k *Container) bool { return isOrphan(c.project, k) }

// needs are the steps that must have succeeded before a container of the
// service may start, and those that must only have ended: dependencies with
// required: false.
func (c *converger) needs(name string, s *spec.Service) (needs, after []string) {
	for _, step := range append([]*Step{c.image[name]}, c.mounted[name]...) {
		if step != nil {
			needs = append(needs, step.ID)
		}
	}
	for _, part := range append([]*spec.Service{s}, s.PreStart...) {
		for key := range part.Networks {
			if step := c.network[key]; step != nil {
				needs = append(needs, step.ID)
			}
		}
		for _, m := range part.Mounts() {
			if step := c.volume[m.Source]; m.Type == spec.MountVolume && step != nil {
				needs = append(needs, step.ID)
			}
		}
	}
	for _, other := range SharedWith(s) {
		for _, step := range c.ups[other] {
			needs = append(needs, step.ID)
		}
		needs = append(needs, c.backOf(other, "")...)
	}
	if c.opts.NoStart || c.opts.NoDeps && len(c.opts.Services) > 0 {
		return compact(needs), nil
	}
	for _, dep := range slices.Sorted(maps.Keys(s.DependsOn)) {
		ids := c.dependency(dep, s.DependsOn[dep].Condition)
		if s.DependsOn[dep].Required {
			needs = append(needs, ids...)
		} else {
			after = append(after, ids...)
		}
	}
	return compact(needs), compact(after)
}

// Ready is the condition of Step.Condition that "up --wait" waits for: healthy
// where there is a health check, running or completed where there is none.
const Ready = "ready"

// dependency gives the IDs of the steps after which a condition holds.
func (c *converger) dependency(name, condition string) []string {
	if c.project.Services[name] == nil {
		return nil
	}
	ids := c.backOf(name, "")
	for _, step := range c.ups[name] {
		ids = append(ids, step.ID)
	}
	over := []string{}
	if c.over[name] != "" { // what may be taken back is nothing to follow yet
		over = append(over, c.over[name])
	}
	if condition == spec.ServiceStarted || condition == "" {
		return append(ids, over...)
	}
	if len(c.ups[name]) == 0 && c.holds(name, condition) {
		return ids
	}
	return append(over, c.awaitStep(name, condition, ids).ID)
}

// holds says that the condition of a dependency that no step touches is met.
func (c *converger) holds(name, condition string) bool {
	for _, k := range c.containers(name) {
		switch condition {
		case spec.ServiceHealthy:
			if k.State != Running || k.Health != Healthy {
				return false
			}
		case spec.ServiceCompleted:
			if !k.IsCompleted() {
				return false
			}
		case Ready:
			if !k.IsUp() || k.isUnfinished() || k.State == Restarting || k.Health == Starting || k.Health == Unhealthy {
				return false
			}
		default:
			if !k.IsUp() {
				return false
			}
		}
	}
	return true
}

// awaitStep is the one step that waits for a condition of a service. It is
// made when the first step needs it and takes its place in the plan at the
// end, so that a plan with nothing to do stays empty.
func (c *converger) awaitStep(name, condition string, needs []string) *Step {
	key := name + " " + condition
	if step := c.await[key]; step != nil {
		return step
	}
	step := newAwait(name, condition, needs)
	c.await[key] = step
	return step
}

// newAwait waits for a condition of a service.
func newAwait(name, condition string, needs []string) *Step {
	word := map[string]string{spec.ServiceHealthy: " healthy", spec.ServiceCompleted: " completed", Ready: " ready"}[condition]
	return &Step{
		ID: string(Await) + " " + name + word, Action: Await, Resource: name + word, Service: name, Condition: condition,
		Needs: compact(slices.Clone(needs)),
	}
}

// placeAwaits puts each await that some step refers to before the first such
// step. An await that nothing refers to is not in the plan.
func (c *converger) placeAwaits() {
	byID := map[string]*Step{}
	for _, step := range c.await {
		byID[step.ID] = step
		step.Optional = true
	}
	steps := []*Step{}
	placed := map[string]bool{}
	for _, step := range c.plan.Steps {
		for _, id := range step.Needs {
			if await := byID[id]; await != nil {
				await.Optional = false
			}
		}
		for _, id := range slices.Concat(step.Needs, step.After) {
			if await := byID[id]; await != nil && !placed[id] {
				placed[id] = true
				steps = append(steps, await)
			}
		}
		steps = append(steps, step)
	}
	c.plan.Steps = steps
}

// appendAwaits puts those of the awaits with the given IDs at the end that
// are not in the plan: no step of the plan needs them, but what comes after it.
// That needs some of them to succeed.
func (c *converger) appendAwaits(needs, after []string) {
	for _, key := range slices.Sorted(maps.Keys(c.await)) {
		step := c.await[key]
		needed := slices.Contains(needs, step.ID)
		if needed {
			step.Optional = false
		}
		if (needed || slices.Contains(after, step.ID)) && !slices.Contains(c.plan.Steps, step) {
			c.plan.Steps = append(c.plan.Steps, step)
		}
	}
}

// planRestarts: a service whose dependency is replaced, with restart: true on
// it, is restarted too (Compose Specification, depends_on, long syntax).
func (c *converger) planRestarts(order []string) {
	if c.opts.NoStart {
		return
	}
	for _, name := range order {
		s := c.project.Services[name]
		for _, dep := range slices.Sorted(maps.Keys(s.DependsOn)) {
			if s.DependsOn[dep].Restart && c.renewed(dep) {
				c.restart(name, dep)
				break
			}
		}
	}
}

// restart restarts the running containers of a service.
func (c *converger) restart(name, dep string) {
	needs, after := c.needs(name, c.project.Services[name])
	path := "services." + name + ".depends_on." + dep
	why := Reason{Path: path, Text: dep + " is replaced, and restart is true", Place: c.project.Places.Nearest(path)}
	touched := map[string]*Step{}
	for _, step := range c.ups[name] {
		touched[step.Container] = step
	}
	for _, k := range c.containers(name) {
		step := touched[k.ID]
		if k.State != Running || slices.Contains(c.going, k) || step != nil && step.Action != Update {
			continue
		}
		own := slices.Clone(needs)
		if step == nil {
			c.plan.Leave--
		} else {
			own = append(own, step.ID)
		}
		c.up(&Step{
			Action: Restart, Service: name, Number: k.Number, Container: k.ID, Needs: own, After: slices.Clone(after),
			IfChanged: c.mayStay(name), Reasons: []Reason{why},
		})
	}
}

// mayStay says that each replacement that a service is restarted for may turn
// out not to be needed.
func (c *converger) mayStay(name string) bool {
	for dep := range c.project.Services[name].DependsOn {
		for _, step := range c.ups[dep] {
			if (step.Action == Replace || step.Action == Create) && !step.IfChanged {
				return false
			}
		}
	}
	return true
}

// planWait adds an await for each service that is not known to be ready and
// that nothing else of the plan waits for.
func (c *converger) planWait(order []string) {
	for _, name := range order {
		i := slices.IndexFunc(c.plan.Steps, func(s *Step) bool { return s.Action == Await && s.Service == name && s.Batch == nil })
		if i >= 0 {
			c.plan.Steps[i].Optional = false
			continue
		}
		var ids []string
		for _, step := range c.ups[name] {
			ids = append(ids, step.ID)
		}
		if len(ids) > 0 || !c.holds(name, Ready) {
			c.plan.Steps = append(c.plan.Steps, c.awaitStep(name, Ready, ids))
		}
	}
}
