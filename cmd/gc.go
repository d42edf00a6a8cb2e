package cmd

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/spec"
)

func (a *app) gcCommand() *cobra.Command {
	var olderThan time.Duration
	var running, force bool
	c := &cobra.Command{
		Use:   "gc --older-than TIME | gc --dry-run",
		Short: "Remove instances that nobody uses any more, with their data and images",
		Long: "Remove instances that nobody uses any more, with their volumes and the images that they built.\n\n" +
			"Instances that run are left alone without --running. A project that is no instance is never removed.",
		Example: "  orlop gc --dry-run                   list them all, with when a command last was about them\n" +
			"  orlop gc --older-than 24h --dry-run  say which would go\n" +
			"  orlop gc --older-than 24h            remove them; asks first",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if !c.Flags().Changed("older-than") && !a.DryRun {
				return fmt.Errorf("gc needs --older-than: how long an instance must have been left alone, such as 24h; --dry-run lists all")
			}
			if olderThan < 0 {
				return fmt.Errorf("--older-than is %s: it must not be negative", olderThan)
			}
			return a.gc(c.Context(), &api.CollectRequest{OlderThanMs: olderThan.Milliseconds(), Running: running}, a.DryRun, force)
		},
	}
	c.Flags().DurationVar(&olderThan, "older-than", 0, "`time` since a command last was about the instance")
	c.Flags().BoolVar(&a.settings.DryRun, "dry-run", false, "only say what would be removed")
	c.Flags().BoolVar(&running, "running", false, "those that run too")
	c.Flags().BoolVarP(&force, "force", "f", false, "don't ask")
	return c
}

func (a *app) gc(ctx context.Context, req *api.CollectRequest, dryRun, force bool) error {
	ctx, cancel := a.Interruptible(ctx)
	defer cancel()
	client, err := a.Connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	req.DryRun = true
	found, err := client.Collect(ctx, req)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	if dryRun || len(found.Projects) == 0 {
		a.sayCollected(found, "would remove")
		return nil
	}
	if !force && display.IsTerminal(a.Stdin) {
		a.sayCollected(found, "is to be removed:")
		yes, err := a.Confirm(ctx, fmt.Sprintf("Remove %s with all data?", spec.Plural(len(found.Projects), "instance")))
		if err != nil {
			return err
		}
		if !yes {
			return cli.ErrNothingRemoved
		}
	}
	req.DryRun = false
	for _, p := range found.Projects {
		req.Projects = append(req.Projects, p.Name)
	}
	removed, err := client.Collect(ctx, req)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	a.sayCollected(removed, "removed")
	return nil
}

// sayCollected lists instances, and what they take on the disk.
func (a *app) sayCollected(r *api.CollectReply, did string) {
	now := a.Now()
	for _, p := range r.Projects {
		line := fmt.Sprintf("%s %s   last used %s, %s", did, p.Name, strings.ToLower(display.Ago(now, time.UnixMilli(p.UsedUnixMs))), display.Bytes(p.DiskBytes))
		if len(p.Images) > 0 {
			line += ", " + spec.Plural(len(p.Images), "image") + ": " + strings.Join(p.Images, ", ")
		}
		fmt.Fprintln(a.Stdout, line)
	}
	for _, p := range r.Left {
		fmt.Fprintf(a.Stdout, "left %s   last used %s: it runs, only --running removes it\n", p.Name, strings.ToLower(display.Ago(now, time.UnixMilli(p.UsedUnixMs))))
	}
	if len(r.Projects) == 0 {
		fmt.Fprintln(a.Stdout, "nothing to remove")
		return
	}
	fmt.Fprintf(a.Stdout, "%s, %s\n", spec.Plural(len(r.Projects), "instance"), display.Bytes(r.DiskBytes))
}
