package cmd

import (
	"github.com/spf13/cobra"

	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/oneoff"
	"github.com/orlop/orlop/cmd/terminal"
)

func (a *app) containerRunCommand() *cobra.Command {
	var o oneoff.Image
	c := &cobra.Command{
		Use:   "run IMAGE [COMMAND [ARG...]]",
		Short: "Run a command in a new container of an image, without a stack file",
		Example: "  orlop container run -it --rm alpine sh\n" +
			"  orlop container run -d --name web -p 8080:80 -v ./site:/usr/share/nginx/html:ro nginx",
		Args: cli.AtLeast(1, "an image"),
		RunE: func(c *cobra.Command, args []string) error {
			o.EntrypointSet = c.Flags().Changed("entrypoint")
			return oneoff.RunImage(c.Context(), a.Invocation, args[0], args[1:], o)
		},
	}
	o.Flags(c.Flags())
	addQuiet(c)
	c.Flags().BoolVarP(&o.Detach, "detach", "d", false, "run it in the background and print its ID")
	c.Flags().StringVar(&o.DetachKeys, "detach-keys", terminal.DefaultDetachKeys, "`keys` that let go of the terminal and leave the command running; none: \"\"")
	return c
}

func (a *app) containerCreateCommand() *cobra.Command {
	o := oneoff.Image{CreateOnly: true}
	c := &cobra.Command{
		Use:     "create IMAGE [COMMAND [ARG...]]",
		Short:   "Make a container of an image without starting it",
		Example: "  orlop container create --name web -p 8080:80 nginx\n  orlop container start web",
		Args:    cli.AtLeast(1, "an image"),
		RunE: func(c *cobra.Command, args []string) error {
			o.EntrypointSet = c.Flags().Changed("entrypoint")
			return oneoff.RunImage(c.Context(), a.Invocation, args[0], args[1:], o)
		},
	}
	o.Flags(c.Flags())
	addQuiet(c)
	return c
}
