package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// UnknownService is the error of Select for a name that no service has.
type UnknownService struct {
	Name       string
	Suggestion string // a service or job that may have been meant, or ""
	Profiles   []string
	IsJob      bool     // it is one
	Known      []string // the services that there are
	Jobs       []string // the jobs
}

// maxNamed is how many services an error lists at most.
const maxNamed = 12

// Error names the service and what to do.
func (e *UnknownService) Error() string {
	text := fmt.Sprintf("no service named %q", e.Name)
	switch {
	case e.IsJob:
		return fmt.Sprintf("%s is a job and no service: run it with \"orlop run %s\"", e.Name, e.Name)
	case len(e.Profiles) > 0:
		return fmt.Sprintf("service %q is not active: activate it with --profile %s", e.Name, strings.Join(e.Profiles, " or "))
	case e.Suggestion != "":
		text += fmt.Sprintf(" (did you mean %q?)", e.Suggestion)
	case len(e.Known) > 0 && len(e.Jobs) > 0:
		text += ": the stack has " + someOf(e.Known) + ", and the jobs " + someOf(e.Jobs)
	case len(e.Known)+len(e.Jobs) > 0:
		text += ": the stack has " + someOf(slices.Concat(e.Known, e.Jobs))
	}
	return text
}

// someOf lists names, and how many more there are.
func someOf(names []string) string {
	if len(names) <= maxNamed {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:maxNamed], ", "), len(names)-maxNamed)
}

// InactiveProfiles are the profiles that services have which are not active.
func (p *Project) InactiveProfiles() []string {
	var names []string
	for _, s := range p.Disabled {
		names = append(names, s.Profiles...)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return name == "" })
	slices.Sort(names)
	return slices.Compact(names)
}

// Select is the part of the project that the named services need: they and,
// unless noDeps, what they depend on, with the networks, volumes, secrets and
// configs that these use. With noDeps, dependencies on services that are left
// out are dropped. No names select everything.
func (p *Project) Select(services []string, noDeps bool) (*Project, error) {
	out := *p
	if len(services) == 0 {
		return &out, nil
	}
	chosen := map[string]*Service{}
	for _, name := range services {
		if err := p.choose(name, noDeps, chosen); err != nil {
			return nil, err
		}
	}
	out.Services, out.Provided = chosen, p.providedFor(services, chosen, noDeps)
	if noDeps {
		for name, s := range chosen {
			chosen[name] = s.withoutDependencies(chosen)
		}
	}
	out.keepUsed(p)
	return &out, nil
}

func (p *Project) choose(name string, noDeps bool, chosen map[string]*Service) error {
	if chosen[name] != nil {
		return nil
	}
	s := p.Services[name]
	if provided := p.Provided[name]; provided != nil {
		if noDeps {
			return nil
		}
		return p.chooseAll(slices.Sorted(maps.Keys(provided.DependsOn)), chosen)
	}
	if s == nil {
		known := slices.Sorted(maps.Keys(p.Services))
		jobs := slices.Sorted(maps.Keys(p.Jobs))
		err := &UnknownService{Name: name, Suggestion: Nearest(name, slices.Concat(known, jobs)), Known: known, Jobs: jobs, IsJob: p.Jobs[name] != nil}
		if off := p.Disabled[name]; off != nil {
			err.Profiles = slices.DeleteFunc(slices.Clone(off.Profiles), func(p string) bool { return p == "" })
		}
		return err
	}
	chosen[name] = s
	if noDeps {
		return nil
	}
	for _, dep := range slices.Sorted(maps.Keys(s.DependsOn)) {
		if p.Services[dep] == nil && !s.DependsOn[dep].Required {
			continue
		}
		if err := p.choose(dep, noDeps, chosen); err != nil {
			return err
		}
	}
	if err := p.chooseAll(s.Needs, chosen); err != nil {
		return err
	}
	return p.chooseContexts(s, chosen)
}

// chooseAll adds services and what they depend on.
func (p *Project) chooseAll(names []string, chosen map[string]*Service) error {
	for _, name := range names {
		if err := p.choose(name, false, chosen); err != nil {
			return err
		}
	}
	return nil
}

// providedFor are the provided services among those that are named, and what the
// chosen ones and they themselves depend on.
func (p *Project) providedFor(named []string, chosen map[string]*Service, noDeps bool) map[string]*Service {
	out := map[string]*Service{}
	var add func(name string)
	add = func(name string) {
		s := p.Provided[name]
		if s == nil || out[name] != nil {
			return
		}
		out[name] = s
		for dependency := range s.DependsOn {
			add(dependency)
		}
	}
	for _, name := range named {
		add(name)
	}
	if noDeps {
		return out
	}
	for _, s := range chosen {
		for _, name := range s.Needs {
			add(name)
		}
	}
	return out
}

// chooseContexts adds the services whose images a build starts from.
func (p *Project) chooseContexts(s *Service, chosen map[string]*Service) error {
	if s.Build == nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(s.Build.AdditionalContexts)) {
		target, ok := strings.CutPrefix(s.Build.AdditionalContexts[name], "service:")
		if !ok || p.Services[target] == nil {
			continue
		}
		if err := p.choose(target, false, chosen); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) withoutDependencies(chosen map[string]*Service) *Service {
	out := *s
	out.DependsOn = map[string]Dependency{}
	for name, d := range s.DependsOn {
		if chosen[name] != nil {
			out.DependsOn[name] = d
		}
	}
	return &out
}

// keepUsed keeps of p's resources what the services use.
func (out *Project) keepUsed(p *Project) {
	networks, volumes, secrets, configs, models := map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, s := range withInitContainers(out.Services) {
		for name := range s.Models {
			models[name] = true
		}
		for name := range s.Networks {
			networks[name] = true
		}
		for _, m := range s.Mounts() {
			volumes[m.Source] = volumes[m.Source] || m.Type == MountVolume
		}
		for _, m := range s.Configs {
			configs[m.Source] = true
		}
		for _, m := range s.Secrets {
			secrets[m.Source] = true
		}
		if s.Build != nil {
			for _, m := range s.Build.Secrets {
				secrets[m.Source] = true
			}
		}
	}
	for _, base := range p.Bases {
		if base.Build != nil {
			for _, m := range base.Build.Secrets {
				secrets[m.Source] = true
			}
		}
	}
	out.Networks = kept(p.Networks, networks)
	out.Volumes = kept(p.Volumes, volumes)
	out.Secrets = kept(p.Secrets, secrets)
	out.Configs = kept(p.Configs, configs)
	out.Models = kept(p.Models, models)
	out.Payloads = nil
	for path, payload := range p.Payloads {
		section, name, _ := strings.Cut(path, ".")
		if section == "secrets" && secrets[name] || section == "configs" && configs[name] {
			if out.Payloads == nil {
				out.Payloads = map[string]Payload{}
			}
			out.Payloads[path] = payload
		}
	}
}

func kept[V any](all map[string]V, used map[string]bool) map[string]V {
	out := map[string]V{}
	for name, v := range all {
		if used[name] {
			out[name] = v
		}
	}
	return out
}

// withInitContainers are services and what runs before their containers.
func withInitContainers(services map[string]*Service) (all []*Service) {
	for _, s := range services {
		all = append(append(all, s), s.PreStart...)
	}
	return all
}
