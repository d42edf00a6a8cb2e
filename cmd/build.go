package cmd

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/bake"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/registries"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

func (a *app) buildCommand() *cobra.Command {
	var noCache, pull, push, withDeps bool
	var args []string
	var cache cacheFlags
	var more buildFlags
	c := &cobra.Command{
		Use:   "build [SERVICE...]",
		Short: "Build the services' images",
		Example: "  orlop build api                    what changed of api\n" +
			"  orlop build --build-arg VERSION=2  with another argument\n" +
			"  orlop build --push                 and push what has an image: beside its build:",
		ValidArgsFunction: a.completeServices,
		RunE: func(c *cobra.Command, services []string) error {
			values, err := a.buildArgs(c.Context(), args)
			if err != nil {
				return err
			}
			builds := cli.BuildOptions{Args: values, NoCache: noCache, Pull: pull}
			if err := errors.Join(cache.read(&a.settings, &builds), more.read(c, &a.settings, &builds)); err != nil {
				return err
			}
			var then func(context.Context, *api.Client, *spec.Project) error
			if push {
				then = func(ctx context.Context, client *api.Client, p *spec.Project) error {
					return registries.PushStack(ctx, a.Invocation, client, p, registries.Pushing{Services: services, IncludeDeps: withDeps})
				}
			}
			if more.classic != [3]bool{} {
				a.SayNotice("--compress, --force-rm and --no-rm have no effect: they were for the builder before BuildKit")
			}
			switch {
			case push && (more.check || more.print):
				return errors.New("--push cannot be used together with --check or --print, which build nothing")
			case more.check && more.print:
				return errors.New("--check and --print cannot be used together")
			case more.print:
				return bake.Print(c.Context(), a.Invocation, services, builds, withDeps)
			}
			words := display.Words{Done: "is built", Nothing: "is built already: no input changed", Failed: "is not built"}
			if more.check {
				words = display.Words{Done: "is checked", Nothing: "has nothing to check", Failed: "has warnings"}
			}
			return a.applyImages(c.Context(), services, cli.Application{
				Options: planner.Options{BuildOnly: true, Build: true, NoDeps: !withDeps},
				Builds:  builds,
				Anew:    noCache || pull || more.check,
			}, words, then)
		},
	}
	cache.flags(c)
	a.frozenFlag(c)
	more.flags(c)
	c.Flags().BoolVar(&noCache, "no-cache", false, "run every step anew")
	c.Flags().BoolVar(&push, "push", false, "push the images then, as orlop push does")
	c.Flags().BoolVar(&pull, "pull", false, "look for newer base images")
	c.Flags().StringArrayVar(&args, "build-arg", nil, "`NAME=value`: set a build argument; may be given many times")
	c.Flags().BoolVar(&withDeps, "with-dependencies", false, "build what the services depend on too")
	allowFlag(c.Flags(), &a.settings.AllowRemotes)
	parallelSwitch(c, &a.settings.Parallel)
	addQuiet(c)
	return c
}

// applyImages applies the part of a project that concerns images, and then does what follows.
func (a *app) applyImages(ctx context.Context, services []string, p cli.Application, w display.Words, then func(context.Context, *api.Client, *spec.Project) error) error {
	ctx, cancel := a.Interruptible(ctx)
	defer cancel()
	w.Of = services
	opts := a.Options(services)
	opts.Only, opts.NoDeps, opts.ImagesOnly = true, p.Options.NoDeps, true
	var err error
	if p.Project, err = a.LoadNamed(ctx, opts); err != nil {
		return err
	}
	if p.Options.BuildOnly && len(services) > 0 {
		// A build on another service's image needs that one, whatever else is left out.
		services = cli.ChosenServices(p.Project, services, p.Options.NoDeps)
	}
	p.Options.Services, p.Timeout = services, -1
	client, err := a.Connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	if _, err = a.Apply(ctx, client, p, cli.Progress{Words: w, Project: p.Project}); err != nil || then == nil {
		return err
	}
	return then(ctx, client, p.Project)
}
