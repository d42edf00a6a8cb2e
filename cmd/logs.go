package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/planner"
)

type logsFlags struct {
	follow       bool
	tail         string
	index        int32
	since, until string
	print        display.LogFormat
}

func (a *app) logsCommand() *cobra.Command {
	var f logsFlags
	c := &cobra.Command{
		Use:   "logs [SERVICE...]",
		Short: "Show what the services print",
		Example: "  orlop logs -f api         follow api\n" +
			"  orlop logs --since 10m    of the last ten minutes\n" +
			"  orlop logs -n 20 web api  the last 20 lines of each container",
		ValidArgsFunction: a.completeServices,
		RunE:              func(c *cobra.Command, args []string) error { return a.logs(c.Context(), args, f) },
	}
	c.Flags().BoolVarP(&f.follow, "follow", "f", false, "go on with what is printed from now on, until all containers have ended")
	c.Flags().StringVarP(&f.tail, "tail", "n", "all", "`lines` to show of each container")
	c.Flags().Int32Var(&f.index, "index", 0, "only the container of this `number`, of one service")
	c.Flags().StringVar(&f.since, "since", "", "from this `time` on: 10m, 2026-01-31T15:04:05Z, or seconds of Unix time")
	c.Flags().StringVar(&f.until, "until", "", "to this `time`")
	c.Flags().BoolVarP(&f.print.Times, "timestamps", "t", false, "show the time of each line")
	c.Flags().BoolVar(&f.print.NoPrefix, "no-log-prefix", false, "show lines without the container's name")
	c.Flags().BoolVar(&f.print.NoColor, "no-color", false, "show lines without colours")
	return c
}

func (a *app) logs(ctx context.Context, services []string, f logsFlags) error {
	req := &api.LogsRequest{Services: services, Follow: f.follow, UntilEnded: f.follow, Tail: -1, Masked: a.InWorkflow()}
	now := a.Now()
	var err error
	if req.Index = f.index; f.index != 0 && len(services) != 1 {
		return errors.New("--index is the number of a container of one service: name that service")
	}
	if f.tail != "all" {
		if req.Tail, err = strconv.ParseInt(f.tail, 10, 64); err != nil {
			return fmt.Errorf("--tail is %q: it must be a number of lines or all", f.tail)
		}
	}
	if req.SinceUnixNs, err = cli.Moment("since", f.since, now); err != nil {
		return err
	}
	if req.UntilUnixNs, err = cli.Moment("until", f.until, now); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	a.Output.Out.OnFailure(cancel) // nobody sees what more comes
	return a.WithStack(ctx, services, func(ctx context.Context, client *api.Client, s cli.Stack) error {
		known, err := cli.Observe(ctx, client, s)
		if err != nil {
			return err
		}
		if f.index != 0 && !slices.ContainsFunc(known, func(c planner.Container) bool {
			return c.Service == services[0] && c.Number == int(f.index) && !c.OneOff
		}) {
			return fmt.Errorf("service %s has no container %d: see \"orlop ps -a %s\"", services[0], f.index, services[0])
		}
		req.Project = s.Name
		printer := a.NewLogPrinter(f.print, known)
		err = cli.PrintLines(ctx, client, req, printer)
		printer.EndLine()
		if err == nil && f.follow && f.until == "" {
			return a.sayOver(ctx, client, s, services)
		}
		return err
	})
}

// sayOver tells why there is nothing more to follow.
func (a *app) sayOver(ctx context.Context, client *api.Client, s cli.Stack, services []string) error {
	containers, err := cli.Observe(ctx, client, s)
	if err != nil || a.IsSilent() {
		return err
	}
	of := cmp.Or(strings.Join(services, ", "), s.Name)
	why := "all containers of " + of + " have ended"
	containers = slices.DeleteFunc(containers, func(c planner.Container) bool { return len(services) > 0 && !slices.Contains(services, c.Service) })
	switch {
	case len(containers) == 0:
		why = of + " has no container"
	case !slices.ContainsFunc(containers, func(c planner.Container) bool { return c.State != planner.Created }):
		why = "no container of " + of + " was ever started"
	}
	fmt.Fprintf(a.Stderr, " nothing more to follow: %s\n", why)
	return nil
}
