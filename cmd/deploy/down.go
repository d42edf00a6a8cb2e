package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	core "github.com/orlop/orlop/deploy"
	"github.com/orlop/orlop/deploy/cluster"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/planner/walk"
	"github.com/orlop/orlop/spec"
)

func downCommand(invocation func() *cli.Invocation) *cobra.Command {
	var p place
	var volumes, yes bool
	var timeout time.Duration
	c := &cobra.Command{
		Use: "down", Short: "Remove the stack from the cluster; claims keep their data", Args: cobra.NoArgs,
		Example: "  orlop deploy down\n  orlop deploy down -v  with the claims and their data, after a yes",
		RunE: func(c *cobra.Command, _ []string) error {
			return with(c, invocation(), func(ctx context.Context, inv *cli.Invocation) error { return down(ctx, inv, p, volumes, yes, timeout) })
		},
	}
	p.flags(c.Flags())
	c.Flags().BoolVarP(&volumes, "volumes", "v", false, "remove the claims too, with all data")
	c.Flags().BoolVarP(&yes, "yes", "y", false, "don't ask before data is removed")
	goneFlag(c, &timeout)
	return c
}

// goneFlag is the --timeout of what removes.
func goneFlag(c *cobra.Command, timeout *time.Duration) {
	c.Flags().DurationVar(timeout, "timeout", 5*time.Minute, "`time` that the pods of each service, and each claim, may take to be gone; 0: for ever")
}

// alone does something about what the cluster has of the project, while nobody else deploys it. Next to a dry run others may.
func alone(ctx context.Context, inv *cli.Invocation, p place, do func(context.Context, *cluster.Client, *core.Observed) error) error {
	client, observed, err := deployed(ctx, inv, p)
	if err != nil {
		return err
	}
	if inv.DryRun {
		return do(ctx, client, observed)
	}
	ctx, release, err := core.Lock(ctx, client, observed.Project, holder(inv), inv.Now, inv.SayNotice)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	defer release()
	if observed, err = core.Observe(ctx, client, observed.Project, nil, spec.Places{}); err != nil {
		return cli.Cause(ctx, err)
	}
	return do(ctx, client, observed)
}

func down(ctx context.Context, inv *cli.Invocation, p place, volumes, yes bool, timeout time.Duration) error {
	return alone(ctx, inv, p, func(ctx context.Context, client *cluster.Client, observed *core.Observed) error {
		plan := core.Down(observed, volumes)
		words := display.Words{Done: "is down", Nothing: "is not there", Failed: "is not down"}
		err := remove(ctx, inv, &core.Remover{Client: client, Plan: plan, Timeout: timeout}, words, yes)
		if kept := plan.Leave; err == nil && kept > 0 && !inv.DryRun && !inv.IsSilent() {
			fmt.Fprintf(inv.Stderr, " %s kept, with all data: orlop deploy down -v removes %s\n", spec.Plural(kept, "claim"), pronoun(kept))
		}
		return err
	})
}

// remove carries out a plan that removes, after a yes where data goes.
func remove(ctx context.Context, inv *cli.Invocation, r *core.Remover, words display.Words, yes bool) error {
	plan := r.Plan
	if inv.DryRun {
		return display.WritePlan(inv.Stdout, plan.Plan, "text", inv.StyleOf(inv.Stdout))
	}
	if claims := plan.Count(planner.RemoveVolume); claims > 0 && !yes {
		if err := confirm(ctx, inv, claims, plan.Project+" on "+r.Client.Where()); err != nil {
			return err
		}
	}
	return show(ctx, inv, r.Client, plan, words, len(plan.Steps), nil, func(emit func(planner.Event)) error {
		if plan.IsEmpty() && plan.Observed.Parent == nil {
			return nil
		}
		if err := r.Begin(ctx); err != nil {
			return err
		}
		err := walk.Plan(ctx, plan.Plan, r, limit, inv.Now, emit)
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
		defer cancel()
		return errors.Join(err, r.End(ending, err))
	})
}

func pronoun(n int) string {
	if n == 1 {
		return "it"
	}
	return "them"
}
