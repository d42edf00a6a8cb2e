package cmd

import (
	"github.com/spf13/cobra"

	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/registries"
)

func (a *app) publishCommand() *cobra.Command {
	var f registries.PublishFlags
	var insecure bool
	c := &cobra.Command{
		Use:   "publish REPOSITORY[:TAG]",
		Short: "Publish the stack file in a registry",
		Long: "Publish the stack file in a registry, in the format of docker compose publish. Others run it as oci://REPOSITORY:TAG. Variables\n" +
			"stay as they are written; the images of services with build: are pushed first.",
		Example: "  orlop publish registry.example/shop:1\n" +
			"  orlop publish --resolve-image-digests registry.example/shop:1  with each image as it is now\n" +
			"  orlop -f oci://registry.example/shop:1 up",
		Args: cobra.MatchAll(cli.AtLeast(1, "a repository"), cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if f.OCIVersion != "" {
				if err := cli.Choice("oci-version", f.OCIVersion, "1.0", "1.1"); err != nil {
					return err
				}
			}
			ctx, cancel := a.Interruptible(c.Context())
			defer cancel()
			opts := a.Options(nil)
			opts.Profiles, opts.SpareContents = []string{"*"}, true
			project, err := a.LoadWith(ctx, opts)
			if err != nil {
				return err
			}
			client, err := a.Connect(ctx)
			if err != nil {
				return err
			}
			defer client.Close()
			if insecure {
				if err := registries.MustBePlain(ctx, a.Invocation, client, args[0]); err != nil {
					return err
				}
			}
			return registries.Publish(ctx, a.Invocation, client, project, args[0], f)
		},
	}
	addQuiet(c)
	c.Flags().BoolVar(&f.App, "app", false, "with the images, which go into the same repository; implies --resolve-image-digests")
	c.Flags().BoolVar(&f.ResolveDigests, "resolve-image-digests", false, "name each image by the digest that its registry has for it now")
	c.Flags().BoolVar(&f.WithEnv, "with-env", false, "with the environment files that services name, without asking about the environment")
	c.Flags().BoolVar(&insecure, "insecure-registry", false, "the registry is reached without TLS: one of this machine, or one that engine.yaml says so of")
	c.Flags().StringVar(&f.OCIVersion, "oci-version", "", "`version` of the OCI specification whose form it has: 1.0 or 1.1; without it, what the registry takes")
	c.Flags().BoolVarP(&f.Yes, "yes", "y", false, "publish also what would be asked about: bind mounts, values and secrets in the file")
	spell(c, map[string]string{"y": "yes"})
	return c
}
