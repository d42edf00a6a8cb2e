package planner

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/published"
)

// Options narrow or sharpen what Converge plans. The zero value plans a whole
// plain up.
type Options struct {
	Services      []string           `json:"services,omitempty"` // only these and what they depend on; empty: all
	NoDeps        bool               `json:"no_deps,omitempty"`  // with Services: not what they depend on
	ForceRecreate bool               `json:"force_recreate,omitempty"`
	NoRecreate    bool               `json:"no_recreate,omitempty"`
	RecreateDeps  bool               `json:"recreate_deps,omitempty"` // those too that the named services depend on
	Renew         bool               `json:"renew,omitempty"`         // what replaces a container has none of its volumes that nobody named
	RemoveOrphans bool               `json:"remove_orphans,omitempty"`
	Disturb       bool               `json:"disturb,omitempty"`       // containers of other projects, where a change can't spare them
	Discard       bool               `json:"discard,omitempty"`       // the data of volumes that are made anew
	AllResources  bool               `json:"all_resources,omitempty"` // networks and volumes too that no service uses
	NoBuild       bool               `json:"no_build,omitempty"`
	Build         bool               `json:"build,omitempty"`      // ask BuildKit unless the inputs are known to be unchanged
	Rebuild       bool               `json:"rebuild,omitempty"`    // ask BuildKit in any case
	CacheTo       bool               `json:"cache_to,omitempty"`   // ask BuildKit in any case: it writes a cache, whatever it finds to do
	BuildOnly     bool               `json:"build_only,omitempty"` // images, nothing else
	PullOnly      bool               `json:"pull_only,omitempty"`
	Pull          string             `json:"pull,omitempty"` // always, missing, never; "" is each service's pull_policy
	NoStart       bool               `json:"no_start,omitempty"`
	Prepare       string             `json:"prepare,omitempty"`  // for a "run" of this service: all that a container of it needs, but no container
	Wait          bool               `json:"wait,omitempty"`     // await every service running or healthy
	Again         []string           `json:"again,omitempty"`    // services that run once more if they have completed
	Attached      bool               `json:"attached,omitempty"` // the caller stays with the containers: their ends are no failure of the plan
	Limit         int                `json:"limit,omitempty"`    // steps at once; 0: any number
	Inputs        map[string]*Inputs `json:"inputs,omitempty"`
	Files         map[string]string  `json:"files,omitempty"` // digests of secrets and configs
}

// converger holds one planning.
type converger struct {
	project  *spec.Project
	observed *Observed
	opts     Options
	plan     *Plan
	image    map[string]*Step        // service -> its build or pull step
	over     map[string]string       // service -> the step that tells whether its update has failed, which may be taken back
	last     []*Step                 // awaits after the last batch of an update, and what takes it back
	mounted  map[string][]*Step      // service -> steps of images that it mounts
	network  map[string]*Step        // network key -> step
	volume   map[string]*Step        // volume key -> step
	ups      map[string][]*Step      // service -> steps of its containers
	stay     map[string][]*Container // service -> its containers that it goes on with
	back     map[string][]*Step      // service -> steps that bring its containers back to networks that are made anew
	await    map[string]*Step        // service and condition -> step
	imaged   map[string]bool         // services whose image was planned
	pulls    map[string]*Step        // reference -> its pull
	anew     map[string]string       // references that some service wants pulled though they are here -> why
	makers   map[string]string       // reference -> the first service that builds it
	removals []*Step                 // of containers that go, for what takes over their ports and names
	going    []*Container            // the containers of removals
	absent   []*absent               // host paths that are mounted and not there
	refused  []error                 // why there is no plan: external things that are not there, guests
}

// Reach are the services whose containers a plan may make; none where it makes images only,
// or can't be made.
func Reach(project *spec.Project, opts Options) []string {
	order, err := (&converger{project: project, opts: opts}).order()
	if err != nil || opts.BuildOnly || opts.PullOnly {
		return nil
	}
	return order
}

// Converge plans what takes the observed world to the project. The same
// input gives the same plan, to the byte.
func Converge(project *spec.Project, observed *Observed, opts Options) (*Plan, error) {
	c := &converger{
		project: project, observed: observed, opts: opts, plan: &Plan{Project: project.Name, Steps: []*Step{}, Limit: opts.Limit},
		image: map[string]*Step{}, mounted: map[string][]*Step{}, network: map[string]*Step{}, volume: map[string]*Step{},
		ups: map[string][]*Step{}, stay: map[string][]*Container{}, back: map[string][]*Step{}, await: map[string]*Step{}, over: map[string]string{},
		imaged: map[string]bool{}, pulls: map[string]*Step{}, anew: map[string]string{}, makers: map[string]string{},
	}
	order, err := c.order()
	if err != nil {
		return nil, err
	}
	c.readImages(order)
	for _, name := range order {
		if err := errors.Join(c.planImage(name), c.planMounted(name)); err != nil {
			return nil, err
		}
	}
	if opts.PullOnly {
		for _, name := range order {
			if err := c.planInitImages(name); err != nil {
				return nil, err
			}
		}
	}
	for _, name := range c.scheduledWork() {
		if err := errors.Join(c.planImage(name), c.planMounted(name)); err != nil {
			return nil, err
		}
	}
	if opts.BuildOnly || opts.PullOnly {
		return c.plan, nil
	}
	c.planNetworks(order)
	c.refused = append(c.refused, c.project.PortsOutside(order, func(name string) *spec.Network { return c.observed.Networks[name].Applied })...)
	for _, e := range published.Twice(c.project, slices.DeleteFunc(slices.Clone(order), func(name string) bool { return name == opts.Prepare })) {
		c.refused = append(c.refused, e)
	}
	c.planVolumes(order)
	c.refuseForeign(order)
	c.refuseWithout(order)
	c.refuseUnattended()
	if len(c.refused) > 0 { // nothing is begun that can't be ended
		return nil, errors.Join(c.refused...)
	}
	var needs, after []string // of the run that is prepared for
	c.planRemovals(order)
	for _, name := range order {
		if name == opts.Prepare {
			needs, after = c.needs(name, c.project.Services[name])
			continue
		}
		if err := c.planService(name); err != nil {
			return nil, err
		}
	}
	c.reattachOthers()
	c.warnAbsent()
	c.planSharers(order)
	c.planRestarts(order)
	c.planSchedules()
	c.placeAwaits()
	c.placeLast()
	c.appendAwaits(needs, after)
	if opts.Wait && !opts.NoStart {
		c.planWait(order)
	}
	return c.plan, nil
}

// order lists the chosen services, dependencies first, alphabetical among equals.
func (c *converger) order() ([]string, error) {
	chosen := c.opts.Services
	if len(chosen) == 0 {
		chosen = slices.Sorted(maps.Keys(c.project.Services))
	}
	var order []string
	state := map[string]int{} // 1: on the path, 2: done
	var visit func(name string, optional bool) error
	visit = func(name string, optional bool) error {
		s, ok := c.project.Services[name]
		switch {
		case !ok && optional:
			return nil
		case !ok:
			return fmt.Errorf("no service named %q in the stack file", name)
		case state[name] == 2:
			return nil
		case state[name] == 1:
			return fmt.Errorf("services depend on each other in a circle at %q", name)
		}
		state[name] = 1
		if !c.opts.NoDeps || len(c.opts.Services) == 0 {
			for _, dep := range c.dependencies(s) {
				if err := visit(dep, !s.DependsOn[dep].Required); err != nil {
					return err
				}
			}
		}
		state[name] = 2
		order = append(order, name)
		return nil
	}
	for _, name := range slices.Sorted(slices.Values(chosen)) {
		if err := visit(name, false); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// dependencies are the services that must be there before s: by depends_on,
// by a shared namespace, by a build on another's image.
func (c *converger) dependencies(s *spec.Service) []string {
	deps := slices.Collect(maps.Keys(s.DependsOn))
	deps = append(deps, SharedWith(s)...)
	deps = append(deps, baseServices(s)...)
	return compact(deps)
}

// SharedWith are the services that s has namespaces or volumes of.
func SharedWith(s *spec.Service) []string {
	names := s.SourceServices()
	for _, share := range s.Shares() {
		if share.Service != "" {
			names = append(names, share.Service)
		}
	}
	return names
}

// baseServices are the services whose images the build of s takes as contexts.
func baseServices(s *spec.Service) []string {
	if s.Build == nil {
		return nil
	}
	var names []string
	for _, from := range s.Build.AdditionalContexts {
		if len(from) > 8 && from[:8] == "service:" {
			names = append(names, from[8:])
		}
	}
	slices.Sort(names)
	return names
}

func (c *converger) used(order []string, keys func(*spec.Service) []string, declared iter.Seq[string]) []string {
	var all []string
	if c.opts.AllResources && c.opts.IsWhole() {
		all = slices.Collect(declared)
	}
	for _, name := range order {
		all = append(all, keys(c.project.Services[name])...)
	}
	return compact(all)
}

// Wanted is the document that a container of the service is to be made from.
func Wanted(p *spec.Project, service string, files map[string]string) *Applied {
	s := p.Services[service]
	a := &Applied{Service: s, Networks: map[string]string{}, Volumes: map[string]string{}, Files: map[string]string{}, HostIP: p.HostBinding(s)}
	for key := range s.Networks {
		if n := p.Networks[key]; n != nil {
			a.Networks[key] = n.Name
		}
	}
	for _, m := range s.Mounts() {
		if v := p.Volumes[m.Source]; m.Type == spec.MountVolume && v != nil {
			a.Volumes[m.Source] = v.Name
			if b := v.Backing(); !b.IsNone() {
				if a.Backings == nil {
					a.Backings = map[string]string{}
				}
				a.Backings[m.Source] = b.String()
			}
		}
	}
	for _, f := range s.Secrets {
		a.Files["secrets."+f.Source] = files["secrets."+f.Source]
		if d := p.Secrets[f.Source]; d != nil && d.TemplateDriver != "" {
			a.Templates = append(a.Templates, "secrets."+f.Source)
		}
	}
	for _, f := range s.Configs {
		a.Files["configs."+f.Source] = files["configs."+f.Source]
		if d := p.Configs[f.Source]; d != nil && d.TemplateDriver != "" {
			a.Templates = append(a.Templates, "configs."+f.Source)
		}
	}
	return a
}

// containers are those of a service, one-offs left out, by number.
func (c *converger) containers(service string) []*Container {
	var list []*Container
	for i := range c.observed.Containers {
		if k := &c.observed.Containers[i]; k.Service == service && !k.OneOff {
			list = append(list, k)
		}
	}
	slices.SortFunc(list, func(a, b *Container) int {
		if a.Number != b.Number {
			return a.Number - b.Number
		}
		return a.CreatedAt.Compare(b.CreatedAt)
	})
	return list
}

// resource is how a replica is named on the screen and in step IDs.
func resource(service string, number int) string { return service + "/" + strconv.Itoa(number) }
