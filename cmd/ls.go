package cmd

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/spec"
)

func (a *app) lsCommand() *cobra.Command {
	var all, quiet bool
	var format string
	c := &cobra.Command{
		Use:     "ls",
		Short:   "List the stacks on this machine",
		Example: "  orlop ls -a  stopped ones too",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := cli.Choice("format", format, "table", "json"); err != nil {
				return err
			}
			return a.ls(c.Context(), all, quiet, format)
		},
	}
	c.Flags().BoolVarP(&all, "all", "a", false, "stopped stacks too")
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "names only")
	c.Flags().StringVar(&format, "format", "table", "table or json")
	return c
}

// lsLine is a stack as Compose's "ls --format json" prints it.
type lsLine struct {
	Name        string
	Status      string
	ConfigFiles string
	Instance    string     `json:",omitempty"` // which copy of a stack it is
	CreatedAt   time.Time  // Orlop's own, as what follows
	UsedAt      *time.Time `json:",omitempty"` // by a command, last; of instances
	DiskUse     int64      // bytes of writable layers and volumes
	Images      []string   `json:",omitempty"` // that the instance built under names of its own
	NextRun     *time.Time `json:",omitempty"` // of the jobs that the engine runs
}

func (a *app) ls(ctx context.Context, all, quiet bool, format string) error {
	ctx, cancel := a.Interruptible(ctx)
	defer cancel()
	client, err := a.Connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	reply, err := client.Projects(ctx, &api.ProjectsRequest{DiskUse: !quiet})
	if err != nil {
		return cli.Cause(ctx, err)
	}
	lines := []lsLine{}
	for _, p := range reply.Projects {
		if all || p.Running+p.Scheduled > 0 {
			lines = append(lines, projectLine(p))
		}
	}
	slices.SortFunc(lines, func(x, y lsLine) int { return cmp.Compare(x.Name, y.Name) })
	switch {
	case quiet:
		for _, l := range lines {
			fmt.Fprintln(a.Stdout, l.Name)
		}
		return nil
	case format == "json":
		return json.NewEncoder(a.Stdout).Encode(lines)
	}
	t := tabwriter.NewWriter(a.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "NAME\tSTATUS\tINSTANCE\tCREATED\tUSED\tDISK\tCONFIG FILES")
	now := a.Now()
	for _, l := range lines {
		used := "-"
		if l.UsedAt != nil {
			used = display.Ago(now, *l.UsedAt)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n",
			l.Name, l.Status, cmp.Or(l.Instance, "-"), display.Ago(now, l.CreatedAt), used, display.Bytes(l.DiskUse), l.ConfigFiles)
	}
	return t.Flush()
}

func projectLine(p *api.ProjectInfo) lsLine {
	l := lsLine{
		Name: p.Name, Status: projectStatus(p), ConfigFiles: strings.Join(p.Files, ","), Instance: p.Instance,
		CreatedAt: time.UnixMilli(p.CreatedUnixMs).UTC(), DiskUse: p.DiskBytes, Images: p.Images,
	}
	if p.Instance != "" {
		used := time.UnixMilli(p.UsedUnixMs).UTC()
		l.UsedAt = &used
	}
	if p.NextFireUnixMs != 0 {
		next := time.UnixMilli(p.NextFireUnixMs).UTC()
		l.NextRun = &next
	}
	return l
}

func projectStatus(p *api.ProjectInfo) string {
	var parts []string
	if p.Exited > 0 {
		parts = append(parts, fmt.Sprintf("exited(%d)", p.Exited))
	}
	if p.Running > 0 {
		parts = append(parts, fmt.Sprintf("running(%d)", p.Running))
	}
	if p.Scheduled > 0 {
		parts = append(parts, fmt.Sprintf("scheduled(%d)", p.Scheduled))
	}
	switch {
	case p.Instance == "" || len(parts) > 0:
	case len(p.Images) > 0:
		return "down, " + spec.Plural(len(p.Images), "image")
	default:
		return "down"
	}
	return cmp.Or(strings.Join(parts, ", "), "created")
}
