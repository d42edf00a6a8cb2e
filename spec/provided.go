package spec

import (
	"maps"
	"slices"
)

// Provider is a program that provides a service in place of a container
// (Compose Specification, "provider").
type Provider struct {
	Type    string              `json:"type"`
	Options map[string][]string `json:"options,omitempty"`
}

// Model is a language model that services use (Compose Specification, "models").
type Model struct {
	Name         string   `json:"name,omitempty"`
	Model        string   `json:"model"`
	ContextSize  int64    `json:"context_size,omitempty"` // tokens; 0: the model's own
	RuntimeFlags []string `json:"runtime_flags,omitempty"`
}

// ServiceModel says by which variables a service is told of a model; without a name
// they are called after it.
type ServiceModel struct {
	EndpointVariable string `json:"endpoint_var,omitempty"`
	ModelVariable    string `json:"model_var,omitempty"`
}

// SetProvidedAside moves the services that programs provide from Services to
// Provided: nothing of them is a container. What depends on them keeps that in
// mind, see Service.Needs.
func (p *Project) SetProvidedAside() {
	services := map[string]*Service{}
	for name, s := range p.Services {
		if s.Provider == nil {
			services[name] = s
			continue
		}
		if p.Provided == nil {
			p.Provided = map[string]*Service{}
		}
		p.Provided[name] = s
	}
	if len(p.Provided) == 0 {
		return
	}
	p.Services = services
	for name, s := range services {
		isProvided := func(dependency string, _ Dependency) bool { return p.Provided[dependency] != nil }
		needs := maps.Clone(s.DependsOn)
		maps.DeleteFunc(needs, func(d string, how Dependency) bool { return !isProvided(d, how) })
		if len(needs) == 0 {
			continue
		}
		own := *s
		own.Needs = slices.Sorted(maps.Keys(needs))
		own.DependsOn = maps.Clone(s.DependsOn)
		maps.DeleteFunc(own.DependsOn, isProvided)
		services[name] = &own
	}
	p.keepUsed(p)
}

// WithVariables is the service with variables that programs give it. They
// override its own, and it keeps in mind which they are.
func (s *Service) WithVariables(given map[string]string) *Service {
	own := *s
	own.Environment = maps.Clone(s.Environment)
	if own.Environment == nil {
		own.Environment = map[string]*string{}
	}
	for name, value := range given {
		own.Environment[name] = &value
	}
	own.ProvidedEnvironment = slices.Sorted(maps.Keys(given))
	own.PreStart = make([]*Service, len(s.PreStart))
	for i, first := range s.PreStart {
		own.PreStart[i] = first.withVariablesOf(s, given)
	}
	return &own
}

// withVariablesOf is an init container of a service with the variables that are given
// to that, but for those that it says itself.
func (s *Service) withVariablesOf(of *Service, given map[string]string) *Service {
	own := *s
	own.Environment = maps.Clone(s.Environment)
	if own.Environment == nil {
		own.Environment = map[string]*string{}
	}
	for name, value := range given {
		was, isSet := s.Environment[name]
		before := of.Environment[name]
		if !isSet || was == before || was != nil && before != nil && *was == *before {
			own.Environment[name] = &value
		}
	}
	return &own
}
