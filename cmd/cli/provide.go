package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/provider"
	"github.com/orlop/orlop/spec"
)

// provide has programs provide what the chosen services need of them, and gives
// the services their variables. A plan runs none, nor does an up that starts nothing:
// the variables are those of the last up then, as are those of a provider that is not
// asked for.
func (inv *Invocation) provide(ctx context.Context, client *api.Client, p *Application) error {
	chosen, err := p.Project.Select(p.Options.Services, p.Options.NoDeps)
	if err != nil || p.Options.BuildOnly || !needsPrograms(chosen) {
		return err
	}
	if p.Options.PullOnly {
		return inv.provideImages(ctx, client, p, chosen)
	}
	given, err := lastProvided(ctx, client, chosen)
	if err != nil {
		return err
	}
	if !p.PlanOnly && !p.Options.NoStart {
		if err := inv.mayProvide(ctx, client, *p); err != nil {
			return err
		}
		if err := inv.runProviders(ctx, client, p, chosen, given); err != nil {
			return err
		}
	}
	services := maps.Clone(p.Project.Services)
	for name, vars := range given {
		if s := services[name]; s != nil && len(vars) > 0 {
			services[name] = s.WithVariables(vars)
		}
	}
	p.Project.Services = services
	return nil
}

// mayProvide asks the engine for a plan before any program is run: what its policy
// forbids is not begun.
func (inv *Invocation) mayProvide(ctx context.Context, client *api.Client, p Application) error {
	if _, isNone := Containers(p.Project, p.Options.Services); isNone {
		p.Options.Services = nil
	}
	_, err := inv.Plan(ctx, client, p)
	return err
}

// needsPrograms says that a part of a project has to do with providers or models.
func needsPrograms(p *spec.Project) bool {
	for _, s := range p.Services {
		if len(s.Needs)+len(s.Models) > 0 {
			return true
		}
	}
	return len(p.Provided)+len(p.Models) > 0
}

// lastProvided are the variables that containers were given when they were made, of
// the services that still depend on what gave them.
func lastProvided(ctx context.Context, client *api.Client, p *spec.Project) (map[string]provider.Variables, error) {
	there, err := Observe(ctx, client, Stack{Name: p.Name})
	if err != nil {
		return nil, Cause(ctx, err)
	}
	given := map[string]provider.Variables{}
	for _, c := range there {
		s := p.Services[c.Service]
		if s == nil || len(s.Needs)+len(s.Models) == 0 || c.Applied == nil || c.Applied.Service == nil || c.OneOff {
			continue
		}
		vars := provider.Variables{}
		for _, name := range c.Applied.Service.ProvidedEnvironment {
			if value := c.Applied.Service.Environment[name]; value != nil {
				vars[name] = *value
			}
		}
		given[c.Service] = vars
	}
	return given, nil
}

// runProviders runs the providers of the chosen services, each after what it
// depends on, and the language models.
func (inv *Invocation) runProviders(ctx context.Context, client *api.Client, p *Application, chosen *spec.Project, given map[string]provider.Variables) error {
	maps.DeleteFunc(given, func(name string, _ provider.Variables) bool { // all of it is given anew
		return !slices.ContainsFunc(chosen.Services[name].Needs, func(n string) bool { return chosen.Provided[n] == nil })
	})
	give := func(service string, vars provider.Variables) {
		if given[service] == nil {
			given[service] = provider.Variables{}
		}
		maps.Copy(given[service], vars)
	}
	for _, name := range providersInOrder(chosen) {
		if err := inv.beforeProvider(ctx, client, p, chosen.Provided[name]); err != nil {
			return err
		}
		if err := inv.provideImage(ctx, client, p, name); err != nil {
			return err
		}
		vars, err := inv.callProvider(ctx, p.Project, name, provider.Up)
		if err != nil {
			return err
		}
		for _, service := range slices.Sorted(maps.Keys(chosen.Services)) {
			if s := chosen.Services[service]; slices.Contains(s.Needs, name) {
				inv.sayOverrides(p.Project, service, name, s, vars)
				give(service, vars)
			}
		}
	}
	return inv.prepareModels(ctx, chosen, give)
}

// sayOverrides warns of variables of a service that a provider gives another value.
func (inv *Invocation) sayOverrides(p *spec.Project, service, by string, s *spec.Service, vars provider.Variables) {
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		if own, isThere := s.Environment[name]; isThere && (own == nil || *own != vars[name]) {
			inv.SayWarnings([]string{fmt.Sprintf("services.%s.environment.%s is given by provider %s instead (%s)",
				service, name, by, p.Places.Nearest("services."+service+".environment."+name))})
		}
	}
}

// providersInOrder are the provided services of a project, each after those that it
// depends on.
func providersInOrder(p *spec.Project) []string {
	var order []string
	var add func(name string)
	add = func(name string) {
		s := p.Provided[name]
		if s == nil || slices.Contains(order, name) {
			return
		}
		for _, dependency := range slices.Sorted(maps.Keys(s.DependsOn)) {
			add(dependency)
		}
		order = append(order, name)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Provided)) {
		add(name)
	}
	return order
}

// beforeProvider brings up the containers that a provider depends on.
func (inv *Invocation) beforeProvider(ctx context.Context, client *api.Client, p *Application, s *spec.Service) error {
	first := *p
	first.Options.Services, first.Options.Wait, first.Options.Prepare, first.Anew = nil, true, "", false
	first.Options.ForceRecreate, first.Options.Rebuild, first.Options.RemoveOrphans, first.Options.Again = false, false, false, nil
	for _, dependency := range slices.Sorted(maps.Keys(s.DependsOn)) {
		if p.Project.Services[dependency] != nil {
			first.Options.Services = append(first.Options.Services, dependency)
		}
	}
	if len(first.Options.Services) == 0 || p.Options.NoDeps {
		return nil
	}
	words := Progress{Project: p.Project}
	words.Words.Done, words.Words.Failed, words.Words.Silent = "is ready for "+s.Name, "is not ready for "+s.Name, true
	_, err := inv.Apply(ctx, client, first, words)
	return err
}

// callProvider runs a provider once a command: an up that watches asks it no
// second time. It runs none of a remote stack that has no yes.
func (inv *Invocation) callProvider(ctx context.Context, p *spec.Project, name, verb string) (provider.Variables, error) {
	return inv.callProviderFor(ctx, p, name, verb, nil)
}

func (inv *Invocation) callProviderFor(ctx context.Context, p *spec.Project, name, verb string, image *provider.Image) (provider.Variables, error) {
	if r := inv.refusedFor(p, name); r != nil {
		return nil, fmt.Errorf("%s: nobody has allowed what %s asks for (%s)", name, r.Name, p.Places.Nearest("services."+name+".provider"))
	}
	s := p.Provided[name]
	key, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	if vars, ok := inv.provided[name+string(key)]; ok && verb == provider.Up {
		return vars, nil
	}
	began := inv.Now()
	call := provider.Call{
		World: provider.World{Dir: p.WorkingDir, Env: inv.Env}, Project: p.Name, Service: name, Type: s.Provider.Type, Options: s.Provider.Options,
		Config: func() ([]byte, error) { return configOf(p, name) }, Image: image,
		Say: func(text string) { inv.sayProvider("·", verb, name, text) },
		Debug: func(text string) {
			if inv.Verbose {
				inv.sayProvider("·", verb, name, text)
			}
		},
	}
	vars, err := call.Run(ctx, verb)
	if errors.Is(err, provider.ErrNoStop) {
		return nil, nil
	}
	if err != nil {
		err = fmt.Errorf("%s: %w (%s)", name, err, p.Places.Nearest("services."+name+".provider"))
		return nil, err
	}
	inv.sayProvider("✓", verb, name, fmt.Sprintf("%s  %.1fs", s.Provider.Type, inv.Now().Sub(began).Truncate(100*time.Millisecond).Seconds()))
	if verb == provider.Up {
		if inv.provided == nil {
			inv.provided = map[string]provider.Variables{}
		}
		inv.provided[name+string(key)] = vars
	}
	return vars, nil
}

// configOf is a provided service as a provider may ask for it: what it is made of,
// without a build.
func configOf(p *spec.Project, name string) ([]byte, error) {
	own := *p.Provided[name]
	whole := &spec.Project{Name: p.Name, Services: map[string]*spec.Service{name: &own}}
	if own.Build != nil {
		own.Image = whole.ImageName(name)
		own.Build = nil
	}
	return json.Marshal(&own)
}

// sayProvider shows a line of what a provider does.
func (inv *Invocation) sayProvider(mark, verb, name, text string) {
	if inv.IsSilent() {
		return
	}
	word := map[string]string{provider.Up: "provide", provider.Down: "release", provider.Stop: "stop", provider.Pull: "pull"}[verb]
	fmt.Fprintf(inv.Stderr, " %s %-9s %-17s %s\n", mark, word, name, inv.Mask.Text(strings.TrimRight(text, "\n")))
}

// prepareModels has docker-model run the models that the chosen services use.
func (inv *Invocation) prepareModels(ctx context.Context, chosen *spec.Project, give func(string, provider.Variables)) error {
	if len(chosen.Models) == 0 {
		return nil
	}
	names := slices.Sorted(maps.Keys(chosen.Models))
	place := chosen.Places.Nearest("models." + names[0])
	say := func(model, doing string) { inv.sayProvider("·", provider.Up, model, "is "+doing) }
	models, err := provider.OpenModels(ctx, provider.World{Dir: chosen.WorkingDir, Env: inv.Env}, say)
	if err != nil {
		return fmt.Errorf("%w (%s)", err, place)
	}
	for _, name := range names {
		if err := models.Prepare(ctx, chosen.Models[name]); err != nil {
			return fmt.Errorf("%w (%s)", err, chosen.Places.Nearest("models."+name))
		}
		inv.sayProvider("✓", provider.Up, name, chosen.Models[name].Model)
	}
	for _, service := range slices.Sorted(maps.Keys(chosen.Services)) {
		s := chosen.Services[service]
		for _, part := range append([]*spec.Service{s}, s.PreStart...) {
			for name, use := range part.Models {
				give(service, models.Variables(name, chosen.Models[name], use))
			}
		}
	}
	return nil
}

// Release has the providers of a stack let go of what they provide, in the reverse
// of their order; with Stop, those that can pause do. named are the services that
// the verb is about; none are all. One of a remote stack without a yes was never asked
// to provide anything, and is no program to run now.
func (inv *Invocation) Release(ctx context.Context, p *spec.Project, named []string, verb string) error {
	if p == nil || inv.DryRun {
		return nil
	}
	order := providersInOrder(p)
	slices.Reverse(order)
	if inv.AllowRemotes && len(order) > 0 {
		if err := inv.Consent(ctx, p); err != nil {
			return err
		}
	}
	for _, name := range order {
		if len(named) > 0 && !slices.Contains(named, name) {
			continue
		}
		if r := inv.refusedFor(p, name); r != nil {
			inv.SayWarnings([]string{fmt.Sprintf("provider %s is not asked to %s: nobody has allowed what %s asks for (%s); --allow-remotes does",
				name, verb, r.Name, p.Places.Nearest("services."+name+".provider"))})
			continue
		}
		if _, err := inv.callProvider(ctx, p, name, verb); err != nil {
			return err
		}
	}
	return nil
}

// Containers are the services among those that are named which are containers, not
// provided by programs. isNone says that all that was named is provided.
func Containers(p *spec.Project, named []string) (services []string, isNone bool) {
	if p == nil {
		return named, false
	}
	for _, name := range named {
		if p.Provided[name] == nil {
			services = append(services, name)
		}
	}
	return services, len(named) > 0 && len(services) == 0
}

// asDocument is a project as the engine is to have it: models are variables by now.
func asDocument(p *spec.Project) *spec.Project {
	if len(p.Models) == 0 {
		return p
	}
	out := *p
	out.Services = maps.Clone(p.Services)
	for name, s := range p.Services {
		if len(s.Models) > 0 {
			own := *s
			own.Models = nil
			out.Services[name] = &own
		}
	}
	return &out
}
