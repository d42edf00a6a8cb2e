package cmd

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/planner"
)

func (a *app) planCommand() *cobra.Command {
	var sel selection
	var format string
	var detailed, wait bool
	c := &cobra.Command{
		Use:   "plan [SERVICE...]",
		Short: "Show what up would change, and why",
		Example: "  orlop plan                      for people\n" +
			"  orlop plan --detailed-exitcode  for scripts: 0 nothing to do, 2 changes, 1 error",
		ValidArgsFunction: a.completeServices,
		RunE: func(c *cobra.Command, args []string) error {
			if err := cli.Choice("format", format, "text", "json"); err != nil {
				return err
			}
			plan, err := a.plan(c.Context(), args, sel, wait)
			if err != nil {
				return err
			}
			if err := display.WritePlan(a.Stdout, plan, format, a.StyleOf(a.Stdout)); err != nil {
				return err
			}
			if detailed && !plan.IsEmpty() {
				return cli.Exit{Code: cli.ExitChanges}
			}
			return nil
		},
	}
	sel.flags(c)
	a.frozenFlag(c)
	c.Flags().BoolVar(&wait, "wait", false, "plan for up --wait")
	c.Flags().StringVar(&format, "format", "text", "text or json")
	c.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit with 0 for no changes, 2 for changes, 1 for an error")
	return c
}

func (a *app) plan(ctx context.Context, services []string, sel selection, wait bool) (*planner.Plan, error) {
	ctx, cancel := a.Interruptible(ctx)
	defer cancel()
	if err := sel.check(); err != nil {
		return nil, err
	}
	project, err := a.Load(ctx, services, sel.noDeps)
	if err != nil {
		return nil, err
	}
	if err := cli.Rescale(project, sel.scale); err != nil {
		return nil, err
	}
	client, err := a.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	plan, err := a.Plan(ctx, client, cli.Application{Project: project, Options: sel.options(services, wait), Timeout: sel.timeout})
	a.LeaveOrphans(plan)
	return plan, err
}
