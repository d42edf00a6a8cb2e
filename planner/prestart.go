package planner

import (
	"fmt"
	"slices"

	"github.com/orlop/orlop/spec"
)

// planInit has the containers of a service's pre_start run before those that the plan
// starts, one after another. Those that run once for the service do so when no
// container of it runs on meanwhile (Compose Specification, pre_start).
func (c *converger) planInit(name string, s *spec.Service, needs, after []string) {
	var starts []*Step
	for _, step := range c.ups[name] {
		if slices.Contains([]Action{Create, Replace, Start, Restart}, step.Action) {
			starts = append(starts, step)
		}
	}
	if len(s.PreStart) == 0 || len(starts) == 0 || c.opts.NoStart {
		return
	}
	last := map[int][]string{} // by replica: the steps that what comes next waits for
	isUseless := !slices.ContainsFunc(starts, func(s *Step) bool { return !s.IfChanged })
	first := slices.Index(c.plan.Steps, starts[0])
	place := func(i int, step *Step, numbers ...*Step) {
		step.Action, step.Service, step.IfChanged, step.Index, step.Applied = Init, name, isUseless, i, c.wantedInit(name, i)
		step.Needs, step.After = compact(append(step.Needs, needs...)), compact(slices.Clone(after))
		c.plan.insert(first, step)
		first++
		for _, start := range numbers {
			last[start.Number] = []string{step.ID}
		}
	}
	for i, init := range s.PreStart {
		path := fmt.Sprintf("services.%s.pre_start[%d]", name, i)
		reasons := []Reason{{Path: path, Text: "before it starts", Place: c.project.Places.Nearest(path)}}
		if init.PerReplica {
			for _, start := range starts {
				what := fmt.Sprintf("%s pre_start %d", resource(name, start.Number), i+1)
				place(i, &Step{Resource: what, Number: start.Number, Name: c.project.InitName(name, i, start.Number), Needs: last[start.Number], Reasons: reasons}, start)
			}
			continue
		}
		if c.keepsRunning(name, starts) {
			continue
		}
		var before []string
		for _, start := range starts {
			before = append(before, last[start.Number]...)
		}
		place(i, &Step{Resource: fmt.Sprintf("%s pre_start %d", name, i+1), Name: c.project.InitName(name, i, 0), Needs: before, Reasons: reasons}, starts...)
	}
	for _, start := range starts {
		start.Needs = compact(append(start.Needs, last[start.Number]...))
	}
}

// keepsRunning says that a container of a service runs that the plan neither starts
// nor replaces.
func (c *converger) keepsRunning(name string, starts []*Step) bool {
	return slices.ContainsFunc(c.containers(name), func(k *Container) bool {
		return k.State == Running && !slices.Contains(c.going, k) && !slices.ContainsFunc(starts, func(s *Step) bool { return s.Container == k.ID })
	})
}

// wantedInit is the document that an init container is to be made from.
func (c *converger) wantedInit(name string, i int) *Applied {
	made := *c.project
	made.Services = map[string]*spec.Service{name: c.project.InitContainer(name, i)}
	return Wanted(&made, name, c.opts.Files)
}

// planInitImages adds the pulls of the images that only init containers have.
func (c *converger) planInitImages(name string) error {
	for i, init := range c.project.Services[name].PreStart {
		if init.Image == "" || init.Image == c.project.ImageName(name) {
			continue
		}
		step, err := c.mountedImage(name, init.Image, fmt.Sprintf("services.%s.pre_start[%d].image", name, i))
		if err != nil {
			return err
		}
		if step != nil {
			c.mounted[name] = append(c.mounted[name], step)
		}
	}
	return nil
}
