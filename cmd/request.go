package cmd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// selection are the flags of up that say what is to be changed; plan has the
// same.
type selection struct {
	build, noBuild         bool
	forceRecreate          bool
	noRecreate, noDeps     bool
	removeOrphans, noStart bool
	yes                    bool
	scale                  []string
	pull                   string
	timeout                int
}

func (s *selection) flags(c *cobra.Command) {
	f := c.Flags()
	f.BoolVar(&s.build, "build", false, "build images first, those that changed; \"build --no-cache\" builds in any case")
	f.BoolVar(&s.noBuild, "no-build", false, "take images as they are")
	f.BoolVar(&s.forceRecreate, "force-recreate", false, "replace containers that need no change too")
	f.BoolVar(&s.noRecreate, "no-recreate", false, "leave containers that exist as they are")
	f.BoolVar(&s.noDeps, "no-deps", false, "leave out what the services depend on")
	f.BoolVar(&s.removeOrphans, "remove-orphans", false, "remove containers of services that the stack file no longer has")
	f.BoolVarP(&s.yes, "yes", "y", false, "do also what disturbs other projects: detach their containers from a network that is made anew")
	f.BoolVar(&s.noStart, "no-start", false, "create containers without starting them")
	f.StringArrayVar(&s.scale, "scale", nil, "`SERVICE=N`: run N containers of a service")
	f.StringVar(&s.pull, "pull", "", "pull images: always, missing, never; without it as the stack file says")
	timeoutFlag(f, &s.timeout)
}

// timeoutFlag adds --timeout; less than 0, each container has its own.
func timeoutFlag(f *pflag.FlagSet, seconds *int) {
	f.IntVarP(seconds, "timeout", "t", -1, "`seconds` that containers get to stop; without it their own")
	f.Lookup("timeout").DefValue = "0" // of the help, which says in words what holds
}

func (s *selection) check() error {
	switch {
	case s.build && s.noBuild:
		return fmt.Errorf("--build and --no-build exclude each other")
	case s.forceRecreate && s.noRecreate:
		return fmt.Errorf("--force-recreate and --no-recreate exclude each other")
	case s.pull == "":
		return nil
	}
	return choice("pull", s.pull, "always", "missing", "never")
}

func (s *selection) options(services []string, wait bool) planner.Options {
	return planner.Options{
		Services: services, NoDeps: s.noDeps, ForceRecreate: s.forceRecreate, NoRecreate: s.noRecreate,
		RemoveOrphans: s.removeOrphans, NoBuild: s.noBuild, Build: s.build, Pull: s.pull, NoStart: s.noStart, Wait: wait,
		Disturb: s.yes,
	}
}

// rescale carries --scale out on the project.
func rescale(p *spec.Project, flags []string) error {
	for _, f := range flags {
		name, number, ok := strings.Cut(f, "=")
		n, err := strconv.Atoi(number)
		if !ok || err != nil || n < 0 {
			return fmt.Errorf("--scale is %q: it must be SERVICE=N", f)
		}
		service := p.Services[name]
		if service == nil {
			_, err := p.Select([]string{name}, true)
			return fmt.Errorf("--scale %s: %w", f, err)
		}
		if key := p.OnlyOne(name); key != "" && n > 1 {
			return fmt.Errorf("--scale %s: replicas cannot share one %s (%s)", f, key[strings.LastIndexByte(key, '.')+1:], p.Places.Nearest(key))
		}
		scaled := *service
		scaled.Scale = &n
		if service.Deploy != nil && service.Deploy.Replicas != nil {
			deploy := *service.Deploy
			deploy.Replicas = &n
			scaled.Deploy = &deploy
		}
		p.Services[name] = &scaled
	}
	return nil
}

// application is a request to apply a project, and the build session that
// goes with it.
type application struct {
	project  *spec.Project
	options  planner.Options
	builds   BuildOptions
	anew     bool // builds: leave fingerprints aside and ask BuildKit
	timeout  int
	planOnly bool // no session is needed
}

// request writes an application down. The returned function ends its session.
func (a *app) request(ctx context.Context, client *api.Client, p application) (*api.ApplyRequest, func(), error) {
	done := func() {}
	req := &api.ApplyRequest{
		Payloads: map[string]*api.Payload{}, WorkingDir: p.project.WorkingDir, Files: p.project.Files,
		Disabled: slices.Sorted(maps.Keys(p.project.Disabled)),
	}
	for path, payload := range p.project.Payloads {
		req.Payloads[path] = &api.Payload{Content: payload.Content, Secret: payload.Secret}
	}
	req.StopTimeoutMs, req.HasStopTimeout = timeout(p.timeout)
	if err := a.lendBuilds(ctx, client, &p, req, &done); err != nil {
		return nil, nil, err
	}
	p.options.Limit = a.parallel
	var err error
	for _, doc := range []struct {
		into *[]byte
		from any
	}{{&req.Project, p.project}, {&req.Places, p.project.Places}, {&req.Options, p.options}, {&req.BuildOptions, p.builds}} {
		if *doc.into, err = marshal(doc.from); err != nil {
			done()
			return nil, nil, err
		}
	}
	return req, done, nil
}

// lendBuilds fingerprints the builds among the chosen services and prepares
// sessions for them and for pulls; a plan that needs none connects none.
func (a *app) lendBuilds(ctx context.Context, client *api.Client, p *application, req *api.ApplyRequest, done *func()) error {
	if a.world.Builder == nil {
		return nil
	}
	chosen, err := p.project.Select(p.options.Services, p.options.NoDeps)
	if err != nil {
		return err
	}
	if !p.options.NoBuild && !p.options.PullOnly {
		p.builds.Services = builders(p.project, chosen)
	}
	p.builds.Environ = a.env
	p.options.Rebuild, p.options.CacheTo = p.anew, len(p.builds.CacheTo) > 0
	if err := a.checkBuilds(p.project, p.builds.Services); err != nil {
		return err
	}
	if len(p.builds.Services) > 0 {
		if p.options.Inputs, err = a.world.Builder.Inputs(ctx, p.project, p.builds); err != nil {
			return err
		}
	}
	if p.planOnly {
		return nil
	}
	session, err := a.world.Builder.Open(ctx, p.project, p.builds)
	if err != nil {
		return err
	}
	req.Sessions = session.IDs()
	a.lend = lend(session, client.Conn())
	*done = session.Close
	return nil
}

// checkBuilds shows what the builds of services lack, as mistakes of the stack
// file.
func (a *app) checkBuilds(p *spec.Project, services []string) error {
	if a.world.Builder == nil || len(services) == 0 {
		return nil
	}
	err := a.world.Builder.Check(p, services)
	var mistakes *spec.Mistakes
	if errors.As(err, &mistakes) {
		return a.complain(mistakes.Diagnostics.Sourced(a.world.Dir))
	}
	return err
}

// builders are the services whose builds the chosen ones need: their own, those
// that make an image which they name, and those that their builds start from.
func builders(whole, chosen *spec.Project) []string {
	need := map[string]bool{}
	var add func(name string)
	add = func(name string) {
		s := whole.Buildable(name)
		if s == nil || s.Build == nil || need[name] {
			return
		}
		need[name] = true
		for _, from := range s.Build.AdditionalContexts {
			if other, ok := strings.CutPrefix(from, "service:"); ok {
				add(other)
			}
		}
	}
	for name := range chosen.Services {
		for other := range whole.Services {
			if other == name || whole.ImageName(other) == whole.ImageName(name) {
				add(other)
			}
		}
	}
	return slices.Sorted(maps.Keys(need))
}

// chosenServices are the services that the names stand for, with what they
// depend on unless noDeps.
func chosenServices(p *spec.Project, names []string, noDeps bool) []string {
	part, err := p.Select(names, noDeps)
	if err != nil {
		return names
	}
	return slices.Sorted(maps.Keys(part.Services))
}
