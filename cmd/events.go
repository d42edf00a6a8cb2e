package cmd

import (
	"github.com/spf13/cobra"

	"github.com/orlop/orlop/cmd/events"
)

func (a *app) eventsCommand() *cobra.Command {
	var f events.Options
	c := &cobra.Command{
		Use:   "events [SERVICE...]",
		Short: "Follow what happens to containers and scheduled jobs",
		Example: "  orlop events         create, start, health, die, oom, ... as they happen\n" +
			"  orlop events --json  a line of JSON each, in Compose's words\n" +
			"  orlop events --since 10m --until 0s  what the engine remembers of the last ten minutes",
		ValidArgsFunction: a.completeServices,
		RunE:              func(c *cobra.Command, args []string) error { return events.Run(c.Context(), a.Invocation, args, f) },
	}
	c.Flags().BoolVar(&f.JSON, "json", false, "as lines of JSON")
	c.Flags().StringVar(&f.Since, "since", "", "first what happened from this `time` on: 10m, 2026-01-31T15:04:05Z, or seconds of Unix time")
	c.Flags().StringVar(&f.Until, "until", "", "to this `time`")
	return c
}
