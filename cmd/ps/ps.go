// Package ps lists the containers and scheduled jobs of a stack: those that its filters leave, as a table,
// as JSON, or as a template of Docker's fields prints them.
package ps

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/format"
	"github.com/orlop/orlop/planner"
)

// Options are what is listed, and how.
type Options struct {
	Services  []string // none: all
	All       bool     // what does not run, and those of run, too
	Quiet     bool     // IDs only
	NamesOnly bool     // of the services
	Sizes     bool     // how much of the disk they take
	Whole     bool     // commands and IDs are not cut
	Format    string   // table, json, or a template
	Status    []string // states; none: all that run
	Filters   []string // "KEY=VALUE"
	Declared  bool     // only services that the stack file has
}

// Run lists the containers of the stack.
func Run(ctx context.Context, inv *cli.Invocation, o Options) error {
	printed, err := format.Parse[display.Container](o.Format, "containers", display.ContainerHeaders())
	if err != nil {
		return err
	}
	f, err := ReadFilter(o.Filters)
	if err != nil {
		return err
	}
	for _, s := range o.Status {
		if err := cli.Choice("status", s, states()...); err != nil {
			return err
		}
	}
	f.States = append(f.States, o.Status...)
	return inv.WithStack(ctx, o.Services, func(ctx context.Context, client *api.Client, s cli.Stack) error {
		observed, err := cli.Snapshot(ctx, client, s)
		if err != nil {
			return err
		}
		containers := observed.Containers
		var list []display.Container
		for i := range containers {
			c := &containers[i]
			if line := display.ContainerJSON(c, s.Name, inv.Now()); o.wants(c, f) && f.Holds(&line) && o.isDeclared(s, c) {
				list = append(list, line)
			}
		}
		slices.SortStableFunc(list, func(a, b display.Container) int { return strings.Compare(a.Name, b.Name) }) // as Compose does
		if o.Sizes {
			if err := Measure(ctx, client, list); err != nil {
				return err
			}
		}
		if err := o.print(inv.Stdout, list, printed); err != nil || o.Quiet || o.NamesOnly || !printed.IsTable() || len(o.Status)+len(o.Filters) > 0 {
			return err
		}
		maps.DeleteFunc(observed.Schedules, func(job string, _ planner.Schedule) bool {
			return len(o.Services) > 0 && !slices.Contains(o.Services, job)
		})
		if len(observed.Schedules) == 0 {
			return nil
		}
		fmt.Fprintln(inv.Stdout)
		return display.ScheduleTable(inv.Stdout, observed.Schedules)
	})
}

// Measure notes with containers how much of the disk they take.
func Measure(ctx context.Context, client *api.Client, list []display.Container) error {
	r := &api.SizesRequest{}
	for i := range list {
		r.Ids = append(r.Ids, list[i].ID)
	}
	reply, err := client.File.Sizes(ctx, r)
	if err != nil {
		return err
	}
	for i := range list {
		if s := reply.Sizes[list[i].ID]; s != nil {
			list[i].SetSize(s.LayerBytes, s.TotalBytes)
		}
	}
	return nil
}

func (o *Options) wants(c *planner.Container, f *Filter) bool {
	switch {
	case len(o.Services) > 0 && !slices.Contains(o.Services, c.Service):
		return false
	case len(f.States) > 0:
		return f.IsOfState(c)
	}
	return o.All || c.State == planner.Running || c.State == planner.Restarting || c.State == planner.Stopping
}

// isDeclared says that a container is of a service of the stack file, or that nobody asks.
func (o *Options) isDeclared(s cli.Stack, c *planner.Container) bool {
	return !o.Declared || s.Project == nil || len(o.Services) > 0 || s.Project.Services[c.Service] != nil
}

func (o *Options) print(w io.Writer, list []display.Container, f *format.Format[display.Container]) error {
	switch {
	case o.Quiet:
		return display.ContainerIDs(w, list)
	case o.NamesOnly:
		t := display.NewTable(w)
		var names []string
		for i := range list {
			if !slices.Contains(names, list[i].Service) {
				names = append(names, list[i].Service)
				fmt.Fprintln(t, list[i].Service)
			}
		}
		return t.Flush()
	case !f.IsTable():
		if !f.IsJSON() && !o.Whole {
			for i := range list {
				list[i] = list[i].Cut()
			}
		}
		return f.Print(w, list)
	default:
		return display.ContainerTable(w, list, o.Whole)
	}
}
