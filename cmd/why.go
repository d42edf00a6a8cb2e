package cmd

import (
	"github.com/spf13/cobra"

	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/why"
)

func (a *app) whyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "why SERVICE",
		Short: "Say why a service is as it is: what it waits for, what would change, what made it restart",
		Example: "  orlop why web      or web/1, as plans name its replicas\n" +
			"  orlop why db       after it has restarted, or where others wait for it\n" +
			"  orlop why api      after an up that failed: what the last try said, and when",
		Args:              cobra.MatchAll(cli.AtLeast(1, "a service"), cobra.MaximumNArgs(1)),
		ValidArgsFunction: a.completeOneService,
		RunE:              func(c *cobra.Command, args []string) error { return why.Run(c.Context(), a.Invocation, args[0]) },
	}
}
