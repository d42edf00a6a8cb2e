package cmd

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/format"
)

// statsFlags are those of stats and top.
type statsFlags struct {
	once  bool
	all   bool // those too that do not run
	whole bool // of IDs
	text  string
	shape *format.Format[display.StatsLine] // nil is the table
}

func (a *app) statsCommand() *cobra.Command {
	var f statsFlags
	c := &cobra.Command{
		Use:   "stats [SERVICE...]",
		Short: "Show what containers use: processor, memory, network, disk",
		Example: "  orlop stats                            live, each second\n" +
			"  orlop stats --no-stream --format json  one measurement, a line of JSON a container",
		ValidArgsFunction: a.completeServices,
		RunE: func(c *cobra.Command, args []string) error {
			shape, err := format.Parse[display.StatsLine](f.text, "measurements", display.StatsHeaders())
			if err != nil {
				return err
			}
			if !shape.IsTable() {
				f.shape = shape
			}
			return a.measure(c.Context(), args, f, false)
		},
	}
	c.Flags().BoolVarP(&f.all, "all", "a", false, "also containers that do not run")
	c.Flags().BoolVar(&f.whole, "no-trunc", false, "whole IDs in the field Container")
	c.Flags().BoolVar(&f.once, "no-stream", false, "measure for a second and return")
	c.Flags().StringVar(&f.text, "format", "table", format.Help)
	return c
}

func (a *app) topCommand() *cobra.Command {
	var f statsFlags
	c := &cobra.Command{
		Use:   "top [SERVICE...]",
		Short: "Show the processes of containers",
		Example: "  orlop top api          live on a terminal, else once\n" +
			"  orlop top --no-stream  once",
		ValidArgsFunction: a.completeServices,
		RunE: func(c *cobra.Command, args []string) error {
			f.once = f.once || !display.IsTerminal(a.Stdout)
			return a.measure(c.Context(), args, f, true)
		},
	}
	c.Flags().BoolVar(&f.once, "no-stream", false, "show them once and return")
	return c
}

// measure shows what the engine measures, until it is interrupted or the first
// whole measurement is there.
func (a *app) measure(ctx context.Context, services []string, f statsFlags, processes bool) error {
	frames := display.NewCanvas(a.Stdout)
	show := func(r *api.StatsReply) error { return a.showStats(r, f, processes, frames) }
	return a.WithStack(ctx, services, func(ctx context.Context, client *api.Client, s cli.Stack) error {
		req := &api.StatsRequest{Project: s.Name, Services: services, Processes: processes}
		shown := show
		if f.all {
			shown = func(r *api.StatsReply) error {
				if err := addIdle(ctx, client, s, services, r); err != nil {
					return err
				}
				return show(r)
			}
		}
		return cli.AcrossEngines(ctx, func() error { return watchStats(ctx, client, req, f.once, shown) })
	})
}

// addIdle adds the containers that do not run.
func addIdle(ctx context.Context, client *api.Client, s cli.Stack, services []string, r *api.StatsReply) error {
	all, err := cli.Observe(ctx, client, s)
	if err != nil {
		return err
	}
	for _, c := range all {
		isMeasured := slices.ContainsFunc(r.Containers, func(m *api.ContainerStats) bool { return m.Id == c.ID })
		if !isMeasured && (len(services) == 0 || slices.Contains(services, c.Service)) {
			r.Containers = append(r.Containers, &api.ContainerStats{Id: c.ID, Name: c.Name, Service: c.Service, Number: int32(c.Number)})
		}
	}
	return nil
}

// watchStats passes measurements on. The first one has no rates of its own yet:
// they are those since the start of each container.
func watchStats(ctx context.Context, client *api.Client, req *api.StatsRequest, once bool, show func(*api.StatsReply) error) error {
	stream, err := client.Stats(ctx, req)
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		reply, err := stream.Recv()
		if err != nil {
			return err
		}
		if n == 0 && !req.Processes {
			continue
		}
		if err := show(reply); err != nil || once {
			return err
		}
	}
}

func (a *app) showStats(r *api.StatsReply, f statsFlags, processes bool, frames *display.Canvas) error {
	slices.SortFunc(r.Containers, func(x, y *api.ContainerStats) int { return strings.Compare(x.Name, y.Name) })
	if f.shape != nil {
		var lines []display.StatsLine
		for _, c := range r.Containers {
			line := display.StatsJSON(c)
			if f.whole {
				line.Container = c.Id
			}
			lines = append(lines, line)
		}
		return f.shape.Print(a.Stdout, lines)
	}
	table := display.StatsTable(r)
	if processes {
		table = display.ProcessTable(r, a.Now())
	}
	if f.once || !display.IsTerminal(a.Stdout) {
		if processes && len(table) == 1 { // as Compose does: a script asks whether anything runs
			return nil
		}
		_, err := fmt.Fprint(a.Stdout, display.Lines(table))
		return err
	}
	columns, rows := display.Size(a.Stdout)
	for i := range table {
		table[i] = display.Clip(table[i], columns-1)
	}
	frames.Draw(table[:min(len(table), max(1, rows-1))], columns)
	return nil
}
