package cmd

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/planner"
)

type psFlags struct {
	all, quiet, services, noTrunc bool
	format                        string
	status                        []string
}

func (a *app) psCommand() *cobra.Command {
	var f psFlags
	c := &cobra.Command{
		Use:   "ps [SERVICE...]",
		Short: "List the stack's containers and scheduled jobs",
		Example: "  orlop ps                what runs\n" +
			"  orlop ps -a             what exists\n" +
			"  orlop ps --format json  a line of JSON for each container",
		ValidArgsFunction: a.completeServices,
		RunE:              func(c *cobra.Command, args []string) error { return a.ps(c.Context(), args, f) },
	}
	c.Flags().BoolVarP(&f.all, "all", "a", false, "stopped containers and those of run too")
	c.Flags().BoolVarP(&f.quiet, "quiet", "q", false, "IDs only")
	c.Flags().BoolVar(&f.services, "services", false, "names of services only")
	c.Flags().BoolVar(&f.noTrunc, "no-trunc", false, "show commands whole")
	c.Flags().StringVar(&f.format, "format", "table", "table or json")
	c.Flags().StringArrayVar(&f.status, "status", nil, "only containers in this `state`: running, exited, created, restarting")
	return c
}

func (a *app) ps(ctx context.Context, services []string, f psFlags) error {
	if err := cli.Choice("format", f.format, "table", "json"); err != nil {
		return err
	}
	for _, s := range f.status {
		if err := cli.Choice("status", s, "running", "exited", "created", "restarting"); err != nil {
			return err
		}
	}
	return a.WithStack(ctx, services, func(ctx context.Context, client *api.Client, s cli.Stack) error {
		observed, err := cli.Snapshot(ctx, client, s)
		if err != nil {
			return err
		}
		containers := slices.DeleteFunc(observed.Containers, func(c planner.Container) bool { return !f.wants(&c, services) })
		if err := a.printContainers(containers, s, f); err != nil || f.quiet || f.services || f.format != "table" || len(f.status) > 0 {
			return err
		}
		maps.DeleteFunc(observed.Schedules, func(job string, _ planner.Schedule) bool {
			return len(services) > 0 && !slices.Contains(services, job)
		})
		if len(observed.Schedules) == 0 {
			return nil
		}
		fmt.Fprintln(a.Stdout)
		return display.ScheduleTable(a.Stdout, observed.Schedules)
	})
}

func (f psFlags) wants(c *planner.Container, services []string) bool {
	if len(services) > 0 && !slices.Contains(services, c.Service) {
		return false
	}
	if len(f.status) > 0 {
		return slices.Contains(f.status, display.StateWord(c.State))
	}
	return f.all || c.State == planner.Running || c.State == planner.Restarting || c.State == planner.Stopping
}

func (a *app) printContainers(containers []planner.Container, s cli.Stack, f psFlags) error {
	w := a.Stdout
	now := a.Now()
	switch {
	case f.quiet:
		for _, c := range containers {
			fmt.Fprintln(w, c.ID)
		}
	case f.services:
		var names []string
		for _, c := range containers {
			if !slices.Contains(names, c.Service) {
				names = append(names, c.Service)
				fmt.Fprintln(w, c.Service)
			}
		}
	case f.format == "json":
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		for i := range containers {
			if err := enc.Encode(display.ContainerJSON(&containers[i], s.Name, now)); err != nil {
				return err
			}
		}
	default:
		return display.ContainerTable(w, containers, s.Name, now, f.noTrunc)
	}
	return nil
}
