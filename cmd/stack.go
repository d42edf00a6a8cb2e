package cmd

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

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

// stack is what a verb knows that needs no more than the project's name: the
// project is nil where only -p names it.
type stack struct {
	name    string
	project *spec.Project
}

// identify finds the project's name; with -p no stack file is needed, and one
// that has mistakes is left aside.
func (a *app) identify(ctx context.Context, services []string) (stack, error) {
	opts := a.options(services)
	opts.SkipPayloads = true
	project, err := a.loadWith(ctx, opts, false)
	var none *spec.NotFound
	var shown exit
	if a.name != "" && (errors.As(err, &none) || errors.As(err, &shown) && len(a.files) == 0) {
		return a.named()
	}
	if err != nil {
		return stack{}, err
	}
	if _, err := project.Select(services, true); err != nil {
		return stack{}, err
	}
	return stack{name: project.Name, project: project}, nil
}

// named is a stack that only -p names.
func (a *app) named() (stack, error) {
	instance, err := a.instanceOf()
	if err != nil {
		return stack{}, err
	}
	name, err := spec.InstanceProject(a.name, instance)
	return stack{name: name}, err
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
