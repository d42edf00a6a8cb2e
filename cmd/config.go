package cmd

import (
	"slices"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/cmd/config"
)

func (a *app) configCommand() *cobra.Command {
	var f config.Flags
	c := &cobra.Command{
		Use:     "config [SERVICE...]",
		Aliases: []string{"convert"},
		Short:   "Print the stack file as Orlop understands it",
		Example: "  orlop config             whole, variables filled in\n" +
			"  orlop config --services  names only\n" +
			"  orlop config --security  before you run somebody else's stack\n" +
			"  orlop config -q          check it, print nothing\n" +
			"  orlop config -q --verbose  every warning with its place",
		ValidArgsFunction: a.completeServices,
		RunE: func(c *cobra.Command, args []string) error {
			f.FormatGiven = c.Flags().Changed("format")
			prints := []string{"models", "variables", "environment", "output", "format", "services", "volumes", "networks", "images", "profiles", "security", "hash", "quiet", "resolve-image-digests", "lock-image-digests"}
			f.UpdateAlone = a.UpdateRemotes && !slices.ContainsFunc(prints, c.Flags().Changed)
			return config.Run(c.Context(), a.Invocation, args, f)
		},
	}
	c.Flags().StringVar(&f.Format, "format", "yaml", "yaml or json; of --variables table, too, which is what it prints without")
	c.Flags().StringVarP(&f.Output, "output", "o", "", "`file` to write to")
	c.Flags().BoolVar(&f.Services, "services", false, "names of the services")
	c.Flags().BoolVar(&f.Volumes, "volumes", false, "names of the volumes")
	c.Flags().BoolVar(&f.Networks, "networks", false, "names of the networks")
	c.Flags().BoolVar(&f.Images, "images", false, "references of the images")
	c.Flags().BoolVar(&f.NoConsistency, "no-consistency", false, "print also what does not fit together, such as a service without an image; it may be no stack that runs")
	c.Flags().BoolVar(&f.Kept.Variables, "no-interpolate", false, "leave variables as they are written")
	c.Flags().BoolVar(&f.Kept.Defaults, "no-normalize", false, "leave out what Compose implies, such as full names and the default network")
	c.Flags().BoolVar(&f.Kept.Environment, "no-env-resolution", false, "leave environment files and variables without a value as they are written")
	c.Flags().BoolVar(&f.Kept.Paths, "no-path-resolution", false, "leave relative paths as they are written")
	c.Flags().BoolVar(&f.Models, "models", false, "names of the models")
	c.Flags().BoolVar(&f.Variables, "variables", false, "variables that the stack file names, with what holds where they are not set")
	c.Flags().BoolVar(&f.Environment, "environment", false, "variables that are filled in, with their values")
	c.Flags().BoolVar(&f.Profiles, "profiles", false, "names of the profiles")
	c.Flags().BoolVar(&f.Security, "security", false, "what the stack asks of this machine beyond what every container gets, with places")
	c.Flags().BoolVar(&f.ResolveDigests, "resolve-image-digests", false, "name each image by the digest that its registry has for it now")
	c.Flags().BoolVar(&f.LockDigests, "lock-image-digests", false, "only a stack file that says which digest each image has now, to be named with -f after the others")
	c.Flags().StringVar(&f.Hash, "hash", "", "hash of what makes the containers of a `service`, or \"*\" for all")
	c.Flags().BoolVar(&a.settings.UpdateRemotes, "update-remotes", false, "ask what each remote stack is now, and write that into orlop.lock; without another flag the stack is not printed")
	c.Flags().BoolVarP(&f.Quiet, "quiet", "q", false, "only check")
	c.AddCommand(a.vaultVerbs("config")...)
	return c
}
