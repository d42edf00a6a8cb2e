package planner

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/orlop/orlop/spec"
)

// An update whose failure_action is rollback has, after its own steps, those that take it
// back: each undoes one of them, and none is carried out unless the update has failed. What it needs
// for that, the documents and the images of the containers that are there, is held while the plan
// is carried out (Plan.Kept).

// takesBack are the steps that undo those by which a service changes: none where it asks for no
// rollback, or where that could fail half-way, of which the plan warns.
func (c *converger) takesBack(name string, s *spec.Service, replaced []*Step) (steps []*Step) {
	how, isWanted := s.Rollback()
	if !isWanted {
		return nil
	}
	for _, step := range replaced {
		k := c.containerOf(step.Container)
		if k == nil || !k.IsUp() || k.IsCompleted() {
			continue // nothing that runs is there to go back to
		}
		if why := c.noWayBack(name, s, k, step.Applied); why != "" {
			c.plan.Warnings = append(c.plan.Warnings, fmt.Sprintf("an update of %s that fails is paused, not rolled back: %s", name, why))
			return nil
		}
		steps = append(steps, &Step{Service: name, Number: step.Number, Undoes: step.ID, Name: c.imageOf(name, k), Applied: k.Applied, Overlap: how.StartsFirst()})
	}
	if len(steps) == 0 {
		return nil
	}
	for _, step := range c.ups[name] {
		if step.Action == Create { // of a replica that comes with the update
			steps = append(steps, &Step{Service: name, Number: step.Number, Undoes: step.ID})
		}
	}
	for _, step := range steps {
		step.Action, step.Resource = Rollback, resource(name, step.Number)
		step.ID = string(Rollback) + " " + step.Resource
	}
	return steps
}

func (c *converger) containerOf(id string) *Container {
	i := slices.IndexFunc(c.observed.Containers, func(k Container) bool { return k.ID == id })
	if i < 0 {
		return nil
	}
	return &c.observed.Containers[i]
}

// imageOf is the reference that a container was made from.
func (c *converger) imageOf(name string, k *Container) string {
	p := *c.project
	p.Services = map[string]*spec.Service{name: k.Applied.Service}
	return p.ImageName(name)
}

// noWayBack says why a container that is replaced could not be made again as it is; "" if it could.
func (c *converger) noWayBack(name string, s *spec.Service, k *Container, want *Applied) string {
	switch {
	case k.Applied == nil:
		return "nothing is known of what " + resource(name, k.Number) + " was made from"
	case !c.observed.Kept[k.Applied.Image]:
		return "the image that " + resource(name, k.Number) + " was made of is not here any more"
	case len(c.mountedReasons(name, s, k)) > 0 || len(c.mounted[name]) > 0:
		return "an image that it mounts is another one"
	}
	for _, key := range slices.Sorted(maps.Keys(k.Applied.Files)) {
		if digest, ok := c.opts.Files[key]; !ok || digest != k.Applied.Files[key] {
			return key + " has another content, and the one before is not kept"
		}
	}
	for _, rs := range [][]Reason{c.volumeReasons(k), c.backingReasons(k, want)} {
		if len(rs) > 0 {
			return rs[0].String()
		}
	}
	return ""
}

// planRollback adds the steps that take an update back, in batches as rollback_config says. They
// follow all of the update, whose failure one of its awaits tells.
func (c *converger) planRollback(name string, s *spec.Service, steps, update []*Step) {
	how, _ := s.Rollback()
	var failed, all []string
	for _, await := range update {
		failed = append(failed, await.ID)
	}
	for _, step := range c.ups[name] {
		all = append(all, step.ID)
	}
	for _, step := range steps {
		step.IfFailed, step.After = compact(slices.Clone(failed)), compact(slices.Concat(failed, all))
	}
	b := newBatch(how, len(steps))
	b.Undoes = true
	path := "services." + name + ".deploy.rollback_config"
	awaits := c.arrange(batches{service: name, config: how, batch: b, word: "rolled back", path: path, watched: true}, steps)
	for _, await := range awaits {
		await.Reasons, await.IfFailed = nil, compact(slices.Clone(failed)) // what may come is said in one line
	}
	path = "services." + name + ".deploy.update_config.failure_action"
	text := fmt.Sprintf("goes back to %s if %s", steps[0].Target(), mostFailures(update[0].Batch))
	steps[0].Reasons = []Reason{{Path: path, Text: text, Place: c.project.Places.Nearest(path)}}
	for _, step := range steps {
		c.last = append(c.last, step)
		for _, await := range awaits {
			if slices.Contains(await.After, step.ID) && len(await.After) == slices.Index(steps, step)+1 {
				c.last = append(c.last, await)
			}
		}
	}
}

// mostFailures is how much of an update has to fail for it to be taken back.
func mostFailures(b *Batch) string {
	switch most := int(b.Ratio * float64(b.Of)); {
	case b.Of == 1:
		return "it fails"
	case most == 0:
		return fmt.Sprintf("one of %d fails", b.Of)
	default:
		return fmt.Sprintf("more than %d of %d fail", most, b.Of)
	}
}

// Kept are the digests of the images that must be there until the plan has been carried out.
func (p *Plan) Kept() []string {
	var digests []string
	for _, s := range p.Steps {
		if s.Action == Rollback && s.Applied != nil {
			digests = append(digests, s.Applied.Image)
		}
	}
	return compact(digests)
}

// Of is the step as it is carried out, given what lists the containers of a project: a Rollback replaces
// what has its number by now, or removes what came with the update.
func (s *Step) Of(project string, list func(project string) []Container) *Step {
	if s.Action != Rollback {
		return s
	}
	step := *s
	step.Action = Replace
	if s.Applied == nil {
		step.Action = Remove
	}
	for _, k := range list(project) {
		if k.Service == s.Service && k.Number == s.Number && !k.OneOff {
			step.Container = k.ID
		}
	}
	return &step
}

// Reference is the image that a step makes a container of, where images has that of each service.
func (s *Step) Reference(images map[string]string) string {
	return cmp.Or(s.Name, images[s.Service])
}

// Target names what a Rollback of a container that was there leads to.
func (s *Step) Target() string {
	if s.Applied.Image == "" {
		return s.Name
	}
	return s.Name + " (" + spec.ShortDigests(s.Applied.Image) + ")"
}
