package cmd

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/wait"
	"github.com/orlop/orlop/planner"
)

func (a *app) waitCommand() *cobra.Command {
	var down bool
	c := &cobra.Command{
		Use:   "wait SERVICE...",
		Short: "Wait until the containers of services have ended",
		Long: "Wait until the containers of services have ended, and end with the exit code of the first one that failed, else 0. Who has ended by then is not waited\n" +
			"for, unless all have. A container that is restarted has ended once.",
		Example:           "  orlop wait migrate\n  orlop wait --down-project test",
		Args:              cli.AtLeast(1, "a service"),
		ValidArgsFunction: a.completeServices,
		RunE: func(c *cobra.Command, args []string) error {
			var then func(context.Context) error
			if down {
				then = func(ctx context.Context) error { return a.down(ctx, planner.DownOptions{}, -1) }
			}
			return wait.Run(c.Context(), a.Invocation, args, then)
		},
	}
	c.Flags().BoolVar(&down, "down-project", false, "take the stack down when the first container has ended, whose exit code it is")
	return c
}
