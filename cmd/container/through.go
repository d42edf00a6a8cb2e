package container

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/terminal"
	"github.com/orlop/orlop/planner"
)

func (v *Verbs) logs() *cobra.Command {
	req := &api.LogsRequest{}
	var tail, since, until string
	print := display.LogFormat{NoPrefix: true}
	c := &cobra.Command{
		Use: "logs CONTAINER", Short: "Show what a container prints", Args: cobra.ExactArgs(1), ValidArgsFunction: v.complete,
		Example: "  orlop container logs -f --tail 20 shop-web-1",
		RunE: func(c *cobra.Command, args []string) error {
			now := v.Of().Now()
			var err error
			req.Tail, req.UntilEnded, req.Masked = -1, req.Follow, v.Of().InWorkflow()
			if tail != "all" {
				if req.Tail, err = strconv.ParseInt(tail, 10, 64); err != nil {
					return fmt.Errorf("--tail is %q: it must be a number of lines or all", tail)
				}
			}
			if req.SinceUnixNs, err = cli.Moment("since", since, now); err != nil {
				return err
			}
			if req.UntilUnixNs, err = cli.Moment("until", until, now); err != nil {
				return err
			}
			ctx, cancel := context.WithCancelCause(c.Context())
			defer cancel(nil)
			v.Of().Output.Out.OnFailure(cancel) // nobody sees what more comes
			return v.with(ctx, args[0], func(ctx context.Context, client *api.Client, m member) error {
				req.Project, req.Containers = m.project, []string{m.ID}
				printer := v.Of().NewLogPrinter(print, []planner.Container{m.Container})
				err := cli.PrintLines(ctx, client, req, printer)
				printer.EndLine()
				return err
			})
		},
	}
	c.Flags().BoolVarP(&req.Follow, "follow", "f", false, "go on with what is printed from now on, until the container has ended")
	c.Flags().StringVarP(&tail, "tail", "n", "all", "`lines` to show")
	c.Flags().StringVar(&since, "since", "", "from this `time` on: 10m, 2026-01-31T15:04:05Z, or seconds of Unix time")
	c.Flags().StringVar(&until, "until", "", "to this `time`")
	c.Flags().BoolVarP(&print.Times, "timestamps", "t", false, "show the time of each line")
	return c
}

func (v *Verbs) exec() *cobra.Command {
	var start api.ProcessStart
	var tty bool
	var keys string
	var files []string
	c := &cobra.Command{
		Use: "exec CONTAINER COMMAND [ARG...]", Short: "Run a command in a container that runs", Args: cli.AtLeast(2, "a container and a command"), ValidArgsFunction: v.complete,
		Example: "  orlop container exec -it shop-db-1 psql -U shop",
		RunE: func(c *cobra.Command, args []string) error {
			start.Command = cli.CommandOf(args[1:])
			start.Stdin = start.Stdin && !start.Detach
			start.Terminal = tty && !start.Detach
			read, err := cli.ReadEnvFiles(v.Of().WorkingDir(), files)
			if err != nil {
				return err
			}
			start.Environment = append(read, start.Environment...)
			start.Environment = cli.FillEnvironment(start.Environment, v.Of().Variables(c.Context()))
			of, err := v.one(c.Context(), args[0])
			if err != nil {
				return err
			}
			if start.Terminal && start.Stdin && !display.IsTerminal(v.Of().Stdin) {
				return fmt.Errorf("%w: leave -t out", terminal.ErrNoTerminal)
			}
			start.Project, start.Container, start.Service = of.project, of.ID, of.Service
			return v.runExec(c.Context(), &start, keys)
		},
	}
	c.Flags().SetInterspersed(false)
	c.Flags().BoolVarP(&start.Stdin, "interactive", "i", false, "connect standard input")
	c.Flags().BoolVarP(&tty, "tty", "t", false, "a terminal for the command")
	c.Flags().BoolVarP(&start.Detach, "detach", "d", false, "run the command in the background")
	c.Flags().StringVarP(&start.User, "user", "u", "", "`user` to run as")
	c.Flags().StringVarP(&start.WorkingDir, "workdir", "w", "", "`directory` to run in")
	c.Flags().StringArrayVarP(&start.Environment, "env", "e", nil, "`NAME=value` to set")
	c.Flags().StringArrayVar(&files, "env-file", nil, "`file` with variables to set, a NAME=value or NAME a line, as they are written")
	c.Flags().BoolVar(&start.Privileged, "privileged", false, "give the command every capability")
	c.Flags().StringVar(&keys, "detach-keys", terminal.DefaultDetachKeys, "`keys` that let go of the terminal and leave the command running; none: \"\"")
	return c
}

// runExec runs the command: interrupts belong to it, not to us.
func (v *Verbs) runExec(ctx context.Context, start *api.ProcessStart, keys string) error {
	client, err := v.Of().Connect(ctx)
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
	return terminal.Run(ctx, v.Of(), stream, start, terminal.Options{DetachKeys: keys})
}
