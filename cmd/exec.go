package cmd

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/terminal"
)

func (a *app) execCommand() *cobra.Command {
	var start api.ProcessStart
	var noTerminal, interactive bool
	var index int32
	var detachKeys string
	c := &cobra.Command{
		Use:   "exec SERVICE COMMAND [ARG...]",
		Short: "Run a command in a running container",
		Example: "  orlop exec db psql -U shop\n" +
			"  orlop exec -T api sh -c 'cat > /tmp/in' < file",
		Args:              cli.AtLeast(2, "a service and a command"),
		ValidArgsFunction: a.completeOneService,
		RunE: func(c *cobra.Command, args []string) error {
			start.Service, start.Command, start.Index = args[0], cli.CommandOf(args[1:]), index
			start.Stdin = !start.Detach && interactive
			start.Terminal = !noTerminal && !start.Detach && terminal.IsOn(a.Invocation)
			start.Environment = cli.FillEnvironment(start.Environment, a.Variables(c.Context()))
			return a.exec(c.Context(), &start, detachKeys)
		},
	}
	c.Flags().SetInterspersed(false)
	noTerminalFlag(c, &noTerminal)
	c.Flags().BoolVarP(&interactive, "interactive", "i", true, "connect standard input")
	c.Flags().BoolP("tty", "t", true, "a terminal where ours is one")
	hide(c, "interactive", "tty")
	c.Flags().BoolVarP(&start.Detach, "detach", "d", false, "run the command in the background")
	c.Flags().StringVarP(&start.User, "user", "u", "", "`user` to run as")
	c.Flags().StringVarP(&start.WorkingDir, "workdir", "w", "", "`directory` to run in")
	c.Flags().StringArrayVarP(&start.Environment, "env", "e", nil, "`NAME=value` to set")
	c.Flags().Int32Var(&index, "index", 0, "`number` of the container; without it the first that runs, a run's last")
	detachFlag(c, &detachKeys)
	c.Flags().BoolVar(&start.Privileged, "privileged", false, "give the command every capability")
	return c
}

func (a *app) exec(ctx context.Context, start *api.ProcessStart, detachKeys string) error {
	s, err := a.Identify(ctx, []string{start.Service})
	if err != nil {
		return err
	}
	start.Project = s.Name
	client, err := a.Connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := client.Exec(ctx)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	return terminal.Run(ctx, a.Invocation, stream, start, terminal.Options{DetachKeys: detachKeys})
}

// noTerminalFlag is -T of exec and run, by Compose's name and an older one.
func noTerminalFlag(c *cobra.Command, off *bool) {
	c.Flags().BoolVarP(off, "no-TTY", "T", false, "no terminal for the command; \"-T\" for pipes")
	c.Flags().BoolVar(off, "no-tty", false, "no terminal for the command")
	hide(c, "no-tty")
}

func hide(c *cobra.Command, names ...string) {
	for _, name := range names {
		c.Flags().Lookup(name).Hidden = true
	}
}

func detachFlag(c *cobra.Command, keys *string) {
	c.Flags().StringVar(keys, "detach-keys", terminal.DefaultDetachKeys, "`keys` that let go of the terminal and leave the command running; none: \"\"")
}
