package cmd

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/terminal"
	"github.com/orlop/orlop/planner"
)

type attachFlags struct {
	index      int
	noStdin    bool
	proxy      bool
	detachKeys string
}

func (a *app) attachCommand() *cobra.Command {
	var f attachFlags
	c := &cobra.Command{
		Use:   "attach SERVICE",
		Short: "Connect to the input and output of a container that runs",
		Long: "Connect to the input and output of a container that runs: what it prints from now on, what is typed where its service has stdin_open,\n" +
			"and signals. The exit code is the container's.",
		Example: "  orlop attach console                 ctrl-p,ctrl-q lets go of a terminal and leaves it running\n" +
			"  orlop attach --sig-proxy=false web   Ctrl-C ends the attachment alone",
		Args:              cobra.MatchAll(cli.AtLeast(1, "a service"), cobra.MaximumNArgs(1)),
		ValidArgsFunction: a.completeOneService,
		RunE:              func(c *cobra.Command, args []string) error { return a.attach(c.Context(), args[0], f) },
	}
	c.Flags().IntVar(&f.index, "index", 0, "`number` of the container; without it the first that runs")
	c.Flags().BoolVar(&f.noStdin, "no-stdin", false, "leave standard input alone")
	c.Flags().BoolVar(&f.proxy, "sig-proxy", true, "pass signals on")
	detachFlag(c, &f.detachKeys)
	return c
}

func (a *app) attach(ctx context.Context, service string, f attachFlags) error {
	s, err := a.Identify(ctx, []string{service})
	if err != nil {
		return err
	}
	client, err := a.Connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	known, err := cli.Observe(ctx, client, s)
	if err != nil {
		return err
	}
	to, err := attachTarget(known, service, f.index)
	if err != nil {
		return err
	}
	made := to.Applied.Service
	if err := terminal.CheckAttach(a.Invocation, display.Replica(to), to, f.noStdin); err != nil {
		return err
	}
	f.proxy = terminal.ProxiesSignals(a.Invocation, made.Tty, f.proxy)
	start := &api.ProcessStart{
		Project: s.Name, Container: to.ID, Service: service, Join: true,
		Stdin: made.StdinOpen && !f.noStdin, Terminal: made.Tty && terminal.IsOn(a.Invocation),
	}
	terminal.SayAttached(a.Invocation, display.Replica(to), start, f.noStdin, f.proxy)
	end := func() {}
	if !f.proxy {
		ctx, end = a.Interruptible(ctx)
	}
	defer end()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := client.Attach(ctx)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	return terminal.Run(ctx, a.Invocation, stream, start, terminal.Options{DetachKeys: f.detachKeys, KeepSignals: !f.proxy})
}

// attachTarget is the container of a service to attach to, of those of the project by
// service and number.
func attachTarget(known []planner.Container, service string, index int) (*planner.Container, error) {
	var found *planner.Container
	for i := range known {
		k := &known[i]
		runs := k.State == planner.Running && !k.Paused || k.State == planner.Stopping
		if k.Service != service || k.OneOff || index > 0 && k.Number != index || found != nil && !runs {
			continue
		}
		if found = k; runs {
			break
		}
	}
	switch {
	case found == nil && index > 0:
		return nil, fmt.Errorf("service %s has no container %d: see \"orlop ps -a %s\"", service, index, service)
	case found == nil || found.Applied == nil || found.Applied.Service == nil:
		return nil, fmt.Errorf("service %s has no container to attach to: \"orlop up -d %s\" makes it", service, service)
	}
	return found, nil
}
