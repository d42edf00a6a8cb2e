package cmd

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/provider"
	"github.com/orlop/orlop/planner"
)

func (a *app) downCommand() *cobra.Command {
	var opts planner.DownOptions
	var seconds int
	c := &cobra.Command{
		Use:   "down [SERVICE...]",
		Short: "Remove the stack's containers and networks",
		Example: "  orlop down     stop and remove; volumes stay\n" +
			"  orlop down -v  remove the data too",
		ValidArgsFunction: a.completeServices,
		RunE: func(c *cobra.Command, args []string) error {
			opts.Services = args
			if opts.RemoveImages != "" {
				if err := cli.Choice("rmi", opts.RemoveImages, "local", "all"); err != nil {
					return err
				}
			}
			return a.down(c.Context(), opts, seconds)
		},
	}
	c.Flags().BoolVarP(&opts.Volumes, "volumes", "v", false, "remove named and anonymous volumes with their data")
	c.Flags().StringVar(&opts.RemoveImages, "rmi", "", "remove images: local (built without an image key) or all")
	c.Flags().BoolVar(&opts.RemoveOrphans, "remove-orphans", false, "remove containers of services that the stack file no longer has")
	allowFlag(c.Flags(), &a.settings.AllowRemotes)
	timeoutFlag(c.Flags(), &seconds)
	spell(c, map[string]string{"volume": "volumes"})
	return c
}

func (a *app) down(ctx context.Context, opts planner.DownOptions, seconds int) error {
	return a.WithStack(ctx, opts.Services, func(ctx context.Context, client *api.Client, s cli.Stack) (err error) {
		named, isNone := opts.Services, false
		if opts.Services, isNone = cli.Containers(s.Project, named); isNone {
			return a.Release(ctx, s.Project, named, provider.Down)
		}
		req := &api.DownRequest{Project: s.Name, Disabled: s.Disabled(), DryRun: a.DryRun}
		req.StopTimeoutMs, req.HasStopTimeout = cli.StopTimeout(seconds)
		if req.Document, err = s.Document(); err != nil {
			return err
		}
		opts.Limit = a.Parallel
		if req.Options, err = cli.Marshal(opts); err != nil {
			return err
		}
		stream, err := client.Down(ctx, req)
		if err != nil {
			return err
		}
		w := display.Words{Done: "is down", Nothing: "is down already", Failed: "is not down", Of: opts.Services}
		o, err := a.Show(ctx, stream, cli.Progress{Words: w, Project: s.Project})
		a.LeaveOrphans(o.Plan)
		if o.Plan != nil && len(o.Plan.Orphans) > 0 && !a.IsSilent() && !a.DryRun {
			fmt.Fprintf(a.Stderr, " %s no longer in the stack file, and left: %s   remove with --remove-orphans\n",
				a.ErrStyle().Yellow("!"), strings.Join(o.Plan.Orphans, ", "))
		}
		if err != nil {
			return err
		}
		return a.Release(ctx, s.Project, named, provider.Down)
	})
}
