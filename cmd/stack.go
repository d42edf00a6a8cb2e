package cmd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// options are those of a load, from the global flags and the environment.
func (a *app) options(services []string) spec.Options {
	return spec.Options{
		Files: a.files, Dir: a.world.Dir, ProjectDirectory: a.directory, Name: a.name, Profiles: a.profiles,
		EnvFiles: a.envFiles, Environ: a.env, Services: services, AllowUnset: a.allowUnset, Strict: a.strict,
		Stdin: a.world.Stdin,
	}
}

// load reads the stack file with the contents of secrets, as far as the named
// services need them, and shows every complaint. They must exist.
func (a *app) load(ctx context.Context, services []string, noDeps bool) (*spec.Project, error) {
	opts := a.options(services)
	opts.Only, opts.NoDeps = true, noDeps
	return a.loadNamed(ctx, opts)
}

// loadNamed loads a stack file that must have the services asked for.
func (a *app) loadNamed(ctx context.Context, opts spec.Options) (*spec.Project, error) {
	project, err := a.loadWith(ctx, opts, true)
	if err != nil {
		return nil, err
	}
	if _, err := project.Select(opts.Services, true); err != nil {
		return nil, err
	}
	return project, nil
}

func (a *app) loadWith(ctx context.Context, opts spec.Options, warn bool) (*spec.Project, error) {
	var err error
	if opts.Instance, err = a.instanceOf(); err != nil {
		return nil, err
	}
	project, diagnostics, err := spec.Load(ctx, opts)
	var mistakes *spec.Mistakes
	switch {
	case errors.As(err, &mistakes):
		return nil, a.complain(mistakes.Diagnostics)
	case err != nil:
		return nil, err
	case warn:
		a.warn(diagnostics.Warnings())
	}
	a.loaded = project
	if !opts.SkipPayloads {
		a.hideSecrets(project)
	}
	return project, nil
}

// complain shows the mistakes of a stack file.
func (a *app) complain(mistakes spec.Diagnostics) error {
	a.warn(mistakes.Warnings())
	_ = mistakes.Errors().Render(a.world.Stderr, a.errStyle().color)
	a.newWorkflow().diagnostics(mistakes.Errors())
	return exit{ExitFailure}
}

// stack is what a verb about what runs knows: the project is nil where its
// name is all that can be told.
type stack struct {
	name    string
	project *spec.Project
}

// identify finds the project's name. What runs can be seen and stopped without
// a faultless stack file: a mistake in it is a warning here, and with -p or
// COMPOSE_PROJECT_NAME there need be none.
func (a *app) identify(ctx context.Context, services []string) (stack, error) {
	opts := a.options(services)
	opts.SkipPayloads = true
	var err error
	if opts.Instance, err = a.instanceOf(); err != nil {
		return stack{}, err
	}
	project, _, err := spec.Load(ctx, opts)
	var mistakes *spec.Mistakes
	switch {
	case err == nil:
		a.loaded = project
		s := stack{name: project.Name, project: project}
		return s, a.mustKnow(ctx, s, services)
	case errors.As(err, &mistakes) && mistakes.Project != "":
		a.sayMistakes(mistakes)
		return stack{name: mistakes.Project}, nil
	case errors.As(err, &mistakes):
		err := a.complain(mistakes.Diagnostics)
		if a.name == "" {
			fmt.Fprintln(a.world.Stderr, a.errStyle().yellow(" ! the name of the project cannot be told: give it with -p NAME"))
		}
		return stack{}, err
	}
	var none *spec.NotFound
	name := or(a.name, a.variables()["COMPOSE_PROJECT_NAME"])
	if name == "" || !errors.As(err, &none) && len(a.files) > 0 {
		return stack{}, err
	}
	name, err = spec.InstanceProject(name, opts.Instance)
	return stack{name: name}, err
}

// mustKnow checks that the services are in the stack file, or that the engine
// has a container of them.
func (a *app) mustKnow(ctx context.Context, s stack, services []string) error {
	_, unknown := s.project.Select(services, true)
	if unknown == nil {
		return nil
	}
	client, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	there, err := observe(ctx, client, stack{name: s.name})
	if err != nil {
		return err
	}
	for _, name := range services {
		_, known := s.project.Services[name]
		_, disabled := s.project.Disabled[name]
		if !known && !disabled && !slices.ContainsFunc(there, func(c planner.Container) bool { return c.Service == name }) {
			return unknown
		}
	}
	return nil
}

// sayMistakes warns of a stack file that is left aside, and says which project
// the verb is about all the same.
func (a *app) sayMistakes(m *spec.Mistakes) {
	if a.progress == "quiet" || a.progress == "json" {
		return
	}
	errs := m.Diagnostics.Errors()
	text := fmt.Sprintf(" ! %s", errs[0])
	if len(errs) > 1 {
		text += fmt.Sprintf(", and %s more", spec.Plural(len(errs)-1, "mistake"))
	}
	fmt.Fprintln(a.world.Stderr, a.errStyle().yellow(text+"; the stack file is left aside, the project is "+m.Project))
}

// document is the project as the engine reads it; empty where there is none.
func (s stack) document() ([]byte, error) {
	if s.project == nil {
		return nil, nil
	}
	return marshal(s.project)
}

func (s stack) disabled() []string {
	if s.project == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(s.project.Disabled))
}

// completeServices completes the names of services.
func (a *app) completeServices(c *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	opts := a.options(nil)
	opts.SkipPayloads, opts.Profiles = true, []string{"*"}
	project, _, err := spec.Load(c.Context(), opts)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(project.Services)) {
		if strings.HasPrefix(name, prefix) && !slices.Contains(args, name) {
			names = append(names, name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeOneService completes the first argument only.
func (a *app) completeOneService(c *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return a.completeServices(c, args, prefix)
}
