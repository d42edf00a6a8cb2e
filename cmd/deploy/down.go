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
	c.Flags().DurationVar(&timeout, "timeout", 5*time.Minute, "`time` that the pods of each service, and each claim, may take to be gone; 0: for ever")
	return c
}

func down(ctx context.Context, inv *cli.Invocation, p place, volumes, yes bool, timeout time.Duration) error {
	client, observed, err := deployed(ctx, inv, p)
	if err != nil {
		return err
	}
	if !inv.DryRun { // from here on nobody deploys
		held, release, err := core.Lock(ctx, client, observed.Project, holder(inv), inv.Now, inv.SayNotice)
		if err != nil {
			return cli.Cause(ctx, err)
		}
		defer release()
		ctx = held
		if observed, err = core.Observe(ctx, client, observed.Project, nil, spec.Places{}); err != nil {
			return cli.Cause(ctx, err)
		}
	}
	plan := core.Down(observed, volumes)
	if claims := plan.Count(planner.RemoveVolume); claims > 0 && !yes && !inv.DryRun {
		question := fmt.Sprintf("Remove %s of %s on %s, with all data?", spec.Plural(claims, "claim"), observed.Project, client.Where())
		if !display.IsTerminal(inv.Stdin) {
			return errors.New("data would be removed, and there is no terminal to ask on: --yes says yes")
		}
		if !inv.Confirm(question) {
			return errors.New("nothing was removed")
		}
	}
	if inv.DryRun {
		return display.WritePlan(inv.Stdout, plan.Plan, "text", inv.StyleOf(inv.Stdout))
	}
	words := display.Words{Done: "is down", Nothing: "is not there", Failed: "is not down"}
	r := &core.Remover{Client: client, Plan: plan, Timeout: timeout}
	services := len(plan.Steps)
	err = show(ctx, inv, client, plan, words, services, nil, func(emit func(planner.Event)) error {
		if observed.Parent == nil {
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
	if kept := plan.Leave; err == nil && kept > 0 && !inv.IsSilent() {
		fmt.Fprintf(inv.Stderr, " %s kept, with all data: orlop deploy down -v removes %s\n", spec.Plural(kept, "claim"), pronoun(kept))
	}
	return err
}

func pronoun(n int) string {
	if n == 1 {
		return "it"
	}
	return "them"
}
