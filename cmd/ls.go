package cmd

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/format"
	"github.com/orlop/orlop/spec"
)

func (a *app) lsCommand() *cobra.Command {
	var all, quiet bool
	var text string
	var filters []string
	c := &cobra.Command{
		Use:     "ls",
		Short:   "List the stacks on this machine",
		Example: "  orlop ls -a  stopped ones too",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			shape, err := format.Parse[lsLine](text, "stacks", lsHeaders())
			if err != nil {
				return err
			}
			names, err := nameFilters(filters)
			if err != nil {
				return err
			}
			return a.ls(c.Context(), names, all, quiet, shape)
		},
	}
	c.Flags().BoolVarP(&all, "all", "a", false, "stopped stacks too")
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "names only")
	c.Flags().StringArrayVar(&filters, "filter", nil, "only stacks that `KEY=VALUE` holds for: name=PATTERN, a regular expression")
	c.Flags().StringVar(&text, "format", "table", format.Help)
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

func lsHeaders() format.Headers {
	return format.Headers{
		"Name": "NAME", "Status": "STATUS", "ConfigFiles": "CONFIG FILES", "Instance": "INSTANCE", "CreatedAt": "CREATED", "UsedAt": "USED", "DiskUse": "DISK", "Images": "IMAGES", "NextRun": "NEXT RUN",
	}
}

// nameFilters reads --filter. A stack is listed that one of them holds for.
func nameFilters(texts []string) (names []*regexp.Regexp, err error) {
	for _, text := range texts {
		key, value, ok := strings.Cut(text, "=")
		if !ok || key != "name" {
			return nil, fmt.Errorf("--filter is %q: it must be name=PATTERN", text)
		}
		pattern, err := regexp.Compile(value)
		if err != nil {
			return nil, fmt.Errorf("--filter is %q: %s is no regular expression: %w", text, value, err)
		}
		names = append(names, pattern)
	}
	return names, nil
}

func (a *app) ls(ctx context.Context, names []*regexp.Regexp, all, quiet bool, shape *format.Format[lsLine]) error {
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
		isNamed := len(names) == 0 || slices.ContainsFunc(names, func(r *regexp.Regexp) bool { return r.MatchString(p.Name) })
		if isNamed && !strings.HasPrefix(p.Name, cli.LonePrefix) && (all || p.Running+p.Scheduled > 0) {
			lines = append(lines, projectLine(p, all))
		}
	}
	slices.SortFunc(lines, func(x, y lsLine) int { return cmp.Compare(x.Name, y.Name) })
	switch {
	case quiet:
		t := display.NewTable(a.Stdout)
		for _, l := range lines {
			fmt.Fprintln(t, l.Name)
		}
		return t.Flush()
	case shape.IsJSON(): // as Compose has it, in one
		return json.NewEncoder(a.Stdout).Encode(lines)
	case !shape.IsTable():
		return shape.Print(a.Stdout, lines)
	}
	t := display.NewTable(a.Stdout)
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

func projectLine(p *api.ProjectInfo, all bool) lsLine {
	l := lsLine{
		Name: p.Name, Status: projectStatus(p, all), ConfigFiles: strings.Join(p.Files, ","), Instance: p.Instance,
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

// projectStatus is how many containers are in which state, as Compose says it: of those that run, if not of all.
func projectStatus(p *api.ProjectInfo, all bool) string {
	var parts []string
	add := func(state string, n int32) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%s(%d)", state, n))
		}
	}
	if all {
		add("created", p.Created)
		add("exited", p.Exited-p.Created)
	}
	add("paused", p.Paused)
	add("restarting", p.Restarting)
	add("running", p.Running-p.Paused-p.Restarting)
	add("scheduled", p.Scheduled)
	switch {
	case p.Instance == "" || len(parts) > 0:
	case len(p.Images) > 0:
		return "down, " + spec.Plural(len(p.Images), "image")
	default:
		return "down"
	}
	return cmp.Or(strings.Join(parts, ", "), "created")
}
