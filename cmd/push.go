package cmd

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/registries"
)

func (a *app) pushCommand() *cobra.Command {
	var p registries.Pushing
	c := &cobra.Command{
		Use:   "push [SERVICE...]",
		Short: "Push the images that the services build",
		Example: "  orlop push      each image whose service has build: and image:, under all its tags\n" +
			"  orlop push api  that of api alone",
		ValidArgsFunction: a.completeServices,
		RunE: func(c *cobra.Command, services []string) error {
			ctx, cancel := a.Interruptible(c.Context())
			defer cancel()
			opts := a.Options(services)
			opts.Only, opts.NoDeps, opts.ImagesOnly = true, !p.IncludeDeps, true
			project, err := a.LoadNamed(ctx, opts)
			if err != nil {
				return err
			}
			client, err := a.Connect(ctx)
			if err != nil {
				return err
			}
			defer client.Close()
			p.Services = services
			return registries.PushStack(ctx, a.Invocation, client, project, p)
		},
	}
	addQuiet(c)
	c.Flags().BoolVar(&p.IncludeDeps, "include-deps", false, "push what the services depend on too")
	c.Flags().BoolVar(&p.IgnoreFailures, "ignore-push-failures", false, "push what can be pushed, and warn of the rest")
	allowFlag(c.Flags(), &a.settings.AllowRemotes)
	return c
}

func (a *app) imagePushCommand() *cobra.Command {
	var platform string
	c := &cobra.Command{
		Use: "push NAME...", Short: "Push images to the registries that their names say",
		Example: "  orlop image tag shop-api registry.example/api:2 && orlop image push registry.example/api:2\n" +
			"  orlop image push --platform linux/arm64 registry.example/api:2",
		Args: cli.AtLeast(1, "an image"),
		RunE: func(c *cobra.Command, names []string) error {
			return a.WithEngine(c.Context(), func(ctx context.Context, client *api.Client) error {
				return registries.PushImages(ctx, a.Invocation, client, names, platform)
			})
		},
	}
	addQuiet(c)
	c.Flags().StringVar(&platform, "platform", "", "push the image of one `platform`, such as linux/arm64, without the others")
	return c
}

func (a *app) imagePullCommand() *cobra.Command {
	var platform string
	c := &cobra.Command{
		Use: "pull NAME...", Short: "Pull images",
		Example: "  orlop image pull redis:7\n  orlop image pull --platform linux/arm64 redis:7",
		Args:    cli.AtLeast(1, "an image"),
		RunE: func(c *cobra.Command, names []string) error {
			return a.WithEngine(c.Context(), func(ctx context.Context, client *api.Client) error {
				return registries.PullImages(ctx, a.Invocation, client, names, platform)
			})
		},
	}
	addQuiet(c)
	c.Flags().StringVar(&platform, "platform", "", "the image of a `platform`, such as linux/arm64; without it, this machine's")
	return c
}
