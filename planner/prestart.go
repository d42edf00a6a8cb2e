package planner

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/orlop/orlop/planner/difference"
	"github.com/orlop/orlop/spec"
)

// planInit has the containers of a service's pre_start run before those that the plan
// starts, one after another. Those that run once for the service do so when no
// container of it runs on meanwhile (Compose Specification, pre_start).
func (c *converger) planInit(name string, s *spec.Service, needs, after []string) error {
	var starts []*Step
	for _, step := range c.ups[name] {
		if slices.Contains([]Action{Create, Replace, Start, Restart}, step.Action) && !c.isUpAlready(step) {
			starts = append(starts, step)
		}
	}
	if len(s.PreStart) == 0 || len(starts) == 0 || c.opts.NoStart {
		return nil
	}
	p := initPlan{c: c, service: name, needs: needs, after: after, last: map[int][]string{}, at: slices.Index(c.plan.Steps, starts[0])}
	p.mayBeVain = !slices.ContainsFunc(starts, func(s *Step) bool { return !s.IfChanged })
	for i, init := range s.PreStart {
		image, err := p.image(i)
		if err != nil {
			return err
		}
		path := fmt.Sprintf("services.%s.pre_start[%d]", name, i)
		reasons := []Reason{{Path: path, Text: "before it starts", Place: c.project.Places.Nearest(path)}}
		if init.PerReplica {
			for _, start := range starts {
				what := fmt.Sprintf("%s pre_start %d", resource(name, start.Number), i+1)
				p.place(&Step{
					Resource: what, Number: start.Number, Name: c.project.InitName(name, i, start.Number), Index: i, IfChanged: start.IfChanged,
					Needs: slices.Concat(p.last[start.Number], start.Needs, image), Reasons: reasons,
				}, start)
			}
			continue
		}
		if c.keepsRunning(name, starts, p.mayBeVain) {
			continue
		}
		before := image
		for _, start := range starts {
			before = append(before, p.last[start.Number]...)
		}
		p.place(&Step{
			Resource: fmt.Sprintf("%s pre_start %d", name, i+1), Name: c.project.InitName(name, i, 0), Index: i, IfChanged: p.mayBeVain,
			Needs: before, Reasons: reasons,
		}, starts...)
	}
	for _, start := range starts {
		start.Needs = compact(append(start.Needs, p.last[start.Number]...))
	}
	return nil
}

// initPlan is the planning of the init containers of one service.
type initPlan struct {
	c            *converger
	service      string
	needs, after []string
	mayBeVain    bool             // all that is started is so only if its image changed
	last         map[int][]string // by replica: the steps that what comes next waits for
	at           int              // where in the plan the next step stands
}

// image has what makes the image of an init container stand before it.
func (p *initPlan) image(i int) ([]string, error) {
	before := len(p.c.plan.Steps)
	step, err := p.c.initImage(p.service, i)
	if added := slices.Clone(p.c.plan.Steps[before:]); len(added) > 0 {
		p.c.plan.Steps = slices.Insert(p.c.plan.Steps[:before], p.at, added...)
		p.at += len(added)
	}
	if step == nil {
		return nil, err
	}
	return []string{step.ID}, err
}

// place adds a step before the containers of the service; those of numbers wait for it.
func (p *initPlan) place(step *Step, starts ...*Step) {
	step.Action, step.Service, step.Applied = Init, p.service, p.c.wantedInit(p.service, step.Index)
	step.Needs, step.After = compact(append(step.Needs, p.needs...)), compact(slices.Clone(p.after))
	p.c.plan.insert(p.at, step)
	p.at++
	for _, start := range starts {
		p.last[start.Number] = []string{step.ID}
	}
}

// isUpAlready says that the container of a step runs, and is only finished by it.
func (c *converger) isUpAlready(step *Step) bool {
	return step.Action == Start && slices.ContainsFunc(c.observed.Containers, func(k Container) bool { return k.ID == step.Container && k.State == Running })
}

// keepsRunning says that a container of a service runs, and may do so while others are
// started: the plan doesn't touch it, or replaces it only if its image changed.
func (c *converger) keepsRunning(name string, starts []*Step, allMayBeVain bool) bool {
	return slices.ContainsFunc(c.containers(name), func(k *Container) bool {
		if k.State != Running || slices.Contains(c.going, k) {
			return false
		}
		i := slices.IndexFunc(starts, func(s *Step) bool { return s.Container == k.ID })
		return i < 0 || starts[i].IfChanged && !allMayBeVain
	})
}

// wantedInit is the document that an init container is to be made from.
func (c *converger) wantedInit(name string, i int) *Applied {
	made := *c.project
	made.Services = map[string]*spec.Service{name: c.project.InitContainer(name, i)}
	return Wanted(&made, name, c.opts.Files)
}

// initImage is the build or the pull of an image that an init container alone has; nil
// if it is here.
func (c *converger) initImage(name string, i int) (*Step, error) {
	init := c.project.Services[name].PreStart[i]
	ref := init.Image
	if ref == "" || ref == c.project.ImageName(name) {
		return c.image[name], nil
	}
	if maker := c.makers[ref]; maker != "" {
		err := c.planImage(maker)
		return c.image[maker], err
	}
	have, present := c.observed.Images[ref]
	present = present && !slices.Contains(have.Lacks, init.Platform)
	policy := cmp.Or(c.opts.Pull, init.PullPolicy)
	path := fmt.Sprintf("services.%s.pre_start[%d].image", name, i)
	why := Reason{Path: path, Text: "the image is not here yet", Place: c.project.Places.Nearest(path)}
	shown := ref
	if init.Platform != "" {
		shown += " (" + init.Platform + ")"
	}
	switch {
	case c.pulls[shown] != nil:
		return c.pulls[shown], nil
	case !present && policy == "never":
		return nil, fmt.Errorf("image %s for %s is not here and pull_policy is %s: load it with \"orlop image load\" or allow the pull", shown, path, policy)
	case present && policy != "always" && !c.opts.PullOnly:
		return nil, nil
	case present:
		why.Text = "pull is asked for each time"
	}
	c.pulls[shown] = c.plan.add(&Step{Action: Pull, Resource: shown, Name: ref, Service: name, Platform: init.Platform, Reasons: []Reason{why}})
	return c.pulls[shown], nil
}

// planInitImages adds the pulls of the images that init containers alone have, where
// images are all that is asked for.
func (c *converger) planInitImages(name string) (err error) {
	for i := range c.project.Services[name].PreStart {
		_, failed := c.initImage(name, i)
		err = errors.Join(err, failed)
	}
	return err
}

// ownOfInits takes out of the init containers of a service, as a tree, what they have
// of it: that is compared with the service.
func ownOfInits(service map[string]any) {
	inits, _ := service["pre_start"].([]any)
	for _, init := range inits {
		m, _ := init.(map[string]any)
		for _, key := range slices.Collect(maps.Keys(m)) {
			of, _ := service[key].(map[string]any)
			own, isMap := m[key].(map[string]any)
			if isMap {
				maps.DeleteFunc(own, func(k string, v any) bool { return difference.Same(v, of[k]) })
			}
			if slices.Contains(elsewhere, key) && key != "image" || difference.Same(m[key], service[key]) || isMap && len(own) == 0 {
				delete(m, key)
			}
		}
	}
}

// hideProvided takes the values out of the reasons that are about variables of
// providers: they may be passwords.
func hideProvided(path string, reasons []Reason, old, want *spec.Service) []Reason {
	for i, r := range reasons {
		name := strings.TrimPrefix(r.Path, path+".")
		if slices.Contains(want.ProvidedEnvironment, name) || old != nil && slices.Contains(old.ProvidedEnvironment, name) {
			reasons[i] = Reason{Path: r.Path, Text: r.Path + ": its provider gives another value", Place: r.Place}
		}
	}
	return reasons
}
