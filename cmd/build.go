package cmd

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/planner"
)

func (a *app) buildCommand() *cobra.Command {
	var noCache, pull, quiet, withDeps bool
	var args []string
	var cache cacheFlags
	c := &cobra.Command{
		Use:   "build [SERVICE...]",
		Short: "Build the services' images",
		Example: "  orlop build api                    what changed of api\n" +
			"  orlop build --build-arg VERSION=2  with another argument",
		ValidArgsFunction: a.completeServices,
		RunE: func(c *cobra.Command, services []string) error {
			if quiet {
				a.progress = "quiet"
			}
			values, err := a.buildArgs(args)
			if err != nil {
				return err
			}
			builds := BuildOptions{Args: values, NoCache: noCache, Pull: pull}
			if err := a.caches(cache, &builds); err != nil {
				return err
			}
			return a.applyImages(c.Context(), services, application{
				options: planner.Options{BuildOnly: true, Build: true, NoDeps: !withDeps},
				builds:  builds,
				anew:    noCache || pull,
			}, words{done: "is built", nothing: "is built already: no input changed", failed: "is not built", header: false})
		},
	}
	cache.flags(c)
	c.Flags().BoolVar(&noCache, "no-cache", false, "run every step anew")
	c.Flags().BoolVar(&pull, "pull", false, "look for newer base images")
	c.Flags().StringArrayVar(&args, "build-arg", nil, "`NAME=value`: set a build argument; may be given many times")
	c.Flags().BoolVar(&withDeps, "with-dependencies", false, "build what the services depend on too")
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "show nothing but failures")
	return c
}

// applyImages applies the part of a project that concerns images.
func (a *app) applyImages(ctx context.Context, services []string, p application, w words) error {
	ctx, cancel := a.interruptible(ctx)
	defer cancel()
	opts := a.options(services)
	opts.Only, opts.NoDeps, opts.ImagesOnly = true, p.options.NoDeps, true
	var err error
	if p.project, err = a.loadNamed(ctx, opts); err != nil {
		return err
	}
	if p.options.BuildOnly && len(services) > 0 {
		// A build on another service's image needs that one, whatever else is left out.
		services = chosenServices(p.project, services, p.options.NoDeps)
	}
	p.options.Services, p.timeout = services, -1
	client, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	req, done, err := a.request(ctx, client, p)
	if err != nil {
		return cause(ctx, err)
	}
	defer done()
	stream, err := client.Apply(ctx, req)
	if err != nil {
		return cause(ctx, err)
	}
	_, err = a.show(ctx, stream, w, 0, nil)
	return err
}
