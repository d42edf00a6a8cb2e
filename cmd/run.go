package cmd

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/oneoff"
	"github.com/orlop/orlop/cmd/terminal"
)

func (a *app) runCommand() *cobra.Command {
	var f oneoff.Options
	var tty bool
	c := &cobra.Command{
		Use:   "run SERVICE|JOB [COMMAND [ARG...]]",
		Short: "Run a command in a new container of a service, or a job",
		Example: "  orlop run --rm api go test ./...\n" +
			"  orlop run --rm migrate                  a job; what up has scheduled is not changed\n" +
			"  orlop run --rm -e LOG=debug --no-deps api",
		Args:              cli.AtLeast(1, "a service"),
		ValidArgsFunction: a.completeOneService,
		RunE: func(c *cobra.Command, args []string) error {
			f.EntrypointSet = c.Flags().Changed("entrypoint")
			if c.Flags().Changed("tty") {
				if c.Flags().Changed("no-TTY") || c.Flags().Changed("no-tty") {
					return errors.New("--tty and --no-TTY cannot be used together")
				}
				f.NoTerminal = !tty
			}
			if asked := c.Flags().Changed("tty") || c.Flags().Changed("no-TTY") || c.Flags().Changed("no-tty"); asked && !f.NoTerminal && !f.Detach && !display.IsTerminal(a.Stdin) {
				return fmt.Errorf("%w: leave --tty out, or use -T", terminal.ErrNoTerminal)
			}
			return oneoff.Run(c.Context(), a.Invocation, args[0], args[1:], f)
		},
	}
	fl := c.Flags()
	fl.SetInterspersed(false)
	fl.BoolVar(&f.Remove, "rm", false, "remove the container when its command has ended")
	fl.BoolVarP(&f.Detach, "detach", "d", false, "run it in the background and print its name")
	fl.StringArrayVarP(&f.Environment, "env", "e", nil, "`NAME=value` to set")
	fl.StringArrayVar(&f.EnvFiles, "env-from-file", nil, "`file` with variables to set; those of --env come before it")
	fl.StringArrayVarP(&f.Publish, "publish", "p", nil, "publish a `port`: 8080:80")
	fl.BoolVarP(&f.ServicePorts, "service-ports", "P", false, "publish the service's ports")
	fl.BoolVar(&f.UseAliases, "use-aliases", false, "let it answer to the service's names and aliases, as its replicas do")
	fl.StringVar(&f.Entrypoint, "entrypoint", "", "`command` in place of the entrypoint")
	fl.BoolVar(&f.NoDeps, "no-deps", false, "leave out what the service depends on")
	fl.StringVar(&f.Name, "name", "", "`name` of the container")
	fl.StringVarP(&f.User, "user", "u", "", "`user` to run as")
	fl.StringVarP(&f.WorkingDir, "workdir", "w", "", "`directory` to run in")
	fl.StringArrayVarP(&f.Volumes, "volume", "v", nil, "mount a `volume`: ./data:/data")
	fl.StringArrayVarP(&f.Labels, "label", "l", nil, "`NAME=value` to label it with")
	fl.StringArrayVar(&f.CapAdd, "cap-add", nil, "`capability` to add")
	fl.StringArrayVar(&f.CapDrop, "cap-drop", nil, "`capability` to drop")
	allowFlag(fl, &a.settings.AllowRemotes)
	noTerminalFlag(c, &f.NoTerminal)
	detachFlag(c, &f.DetachKeys)
	fl.BoolVarP(&f.Interactive, "interactive", "i", true, "connect standard input; of a detached container, keep it open")
	fl.BoolVar(&f.Build, "build", false, "build the image first")
	fl.StringVar(&f.Pull, "pull", "", "pull the image: always, missing or never")
	fl.BoolVar(&f.RemoveOrphans, "remove-orphans", false, "remove containers of services that the stack file no longer has, and those that earlier runs have left")
	addQuiet(c)
	quietFlags(fl, &a.settings)
	fl.BoolVarP(&tty, "tty", "t", true, "a terminal where ours is one")
	hide(c, "interactive", "tty")
	spell(c, map[string]string{"volumes": "volume", "labels": "label"})
	return c
}
