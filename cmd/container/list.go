package container

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/format"
	"github.com/orlop/orlop/cmd/ps"
	"github.com/orlop/orlop/planner"
)

type listing struct {
	all, latest, quiet, sizes, whole bool
	last                             int
	format                           string
	filters                          []string
}

func (v *Verbs) list() *cobra.Command {
	var l listing
	c := &cobra.Command{
		Use: "ls", Aliases: []string{"list", "ps"}, Short: "List containers, of all stacks", Args: cobra.NoArgs,
		Example: "  orlop container ls -a --filter ancestor=postgres\n" +
			"  orlop container ls --format 'table {{.Names}}\\t{{.Status}}'",
		RunE: func(c *cobra.Command, _ []string) error { return v.runList(c.Context(), l) },
	}
	c.Flags().BoolVarP(&l.all, "all", "a", false, "those too that do not run")
	c.Flags().StringArrayVarP(&l.filters, "filter", "f", nil, ps.FilterHelp)
	c.Flags().StringVar(&l.format, "format", "table", format.Help)
	c.Flags().IntVarP(&l.last, "last", "n", -1, "the `number` that were made last, whether they run or not")
	c.Flags().BoolVarP(&l.latest, "latest", "l", false, "the one that was made last, whether it runs or not")
	c.Flags().BoolVar(&l.whole, "no-trunc", false, "show commands and IDs whole")
	c.Flags().BoolVarP(&l.quiet, "quiet", "q", false, "IDs only")
	c.Flags().BoolVarP(&l.sizes, "size", "s", false, "how much of the disk they take: of what they have written, and with their images")
	return c
}

func (v *Verbs) runList(ctx context.Context, l listing) error {
	printed, err := format.Parse[display.Container](l.format, "containers", display.ContainerHeaders())
	if err != nil {
		return err
	}
	filter, err := ps.ReadFilter(l.filters)
	if err != nil {
		return err
	}
	return v.Of().WithEngine(ctx, func(ctx context.Context, client *api.Client) error {
		all, err := members(ctx, client)
		if err != nil {
			return err
		}
		lines := v.lines(all, l, filter)
		if l.sizes {
			if err := ps.Measure(ctx, client, lines); err != nil {
				return err
			}
		}
		return l.print(v.Of().Stdout, printed, lines)
	})
}

// lines are the containers that are asked for, the youngest first.
func (v *Verbs) lines(all []member, l listing, filter *ps.Filter) (lines []display.Container) {
	slices.SortStableFunc(all, func(x, y member) int { return y.CreatedAt.Compare(x.CreatedAt) })
	if l.latest {
		l.last = 1
	}
	for i := range all {
		m := &all[i]
		line := display.ContainerJSON(&m.Container, m.project, v.Of().Now())
		if (filter.IsOfState(&m.Container) || len(filter.States) == 0 && (l.all || l.last > 0 || isActive(m.State))) && filter.Holds(&line) {
			lines = append(lines, line)
		}
	}
	if l.last > 0 {
		lines = lines[:min(l.last, len(lines))]
	}
	return lines
}

// isActive says that a container has a process, or is about to have one again.
func isActive(s planner.State) bool {
	return s != planner.Created && s != planner.Exited
}

// stackOf is the stack that a container is of.
func stackOf(project string) string {
	if strings.HasPrefix(project, cli.LonePrefix) {
		return "-"
	}
	return project
}

func (l *listing) print(w io.Writer, f *format.Format[display.Container], lines []display.Container) error {
	if !l.whole && !f.IsJSON() {
		for i := range lines {
			lines[i] = lines[i].Cut()
		}
	}
	switch {
	case l.quiet:
		return display.ContainerIDs(w, lines)
	case !f.IsTable():
		return f.Print(w, lines)
	}
	t := display.NewTable(w)
	size := func(text string) string {
		if l.sizes {
			return "\t" + text
		}
		return ""
	}
	fmt.Fprintln(t, "CONTAINER ID\tNAME\tSTACK\tIMAGE\tCOMMAND\tCREATED\tSTATUS\tPORTS"+size("SIZE"))
	for _, c := range lines {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s%s\n", c.ID, c.Name, stackOf(c.Project), c.Image, c.Command, c.RunningFor, c.Status, c.Ports, size(c.Size))
	}
	return t.Flush()
}
