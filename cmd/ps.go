package cmd

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/format"
	"github.com/orlop/orlop/cmd/ps"
	"github.com/orlop/orlop/cmd/registries"
)

func (a *app) psCommand() *cobra.Command {
	var o ps.Options
	var orphans bool
	c := &cobra.Command{
		Use:   "ps [SERVICE...]",
		Short: "List the stack's containers and scheduled jobs",
		Example: "  orlop ps                what runs\n" +
			"  orlop ps -a             what exists\n" +
			"  orlop ps --format json  a line of JSON for each container\n" +
			"  orlop ps --format 'table {{.Name}}\\t{{.Status}}' --filter label=tier=front",
		ValidArgsFunction: a.completeServices,
		RunE: func(c *cobra.Command, args []string) error {
			o.Services, o.Declared = args, !orphans
			if own := registries.Setting("psFormat"); own != "" && !c.Flags().Changed("format") {
				if _, err := format.Parse[display.Container](own, "containers", display.ContainerHeaders()); err != nil {
					fmt.Fprintf(a.Stderr, "psFormat of Docker's config.json is left aside: %v\n", err)
				} else {
					o.Format = own
				}
			}
			return ps.Run(c.Context(), a.Invocation, o)
		},
	}
	c.Flags().BoolVarP(&o.All, "all", "a", false, "stopped containers and those of run too")
	c.Flags().BoolVarP(&o.Quiet, "quiet", "q", false, "IDs only")
	c.Flags().BoolVar(&o.NamesOnly, "services", false, "names of services only")
	c.Flags().BoolVarP(&o.Sizes, "size", "s", false, "how much of the disk they take: of what they have written, and with their images")
	c.Flags().BoolVar(&o.Whole, "no-trunc", false, "show commands and IDs whole")
	c.Flags().StringVar(&o.Format, "format", "table", format.Help)
	c.Flags().BoolVar(&orphans, "orphans", true, "also containers of services that the stack file does not have; --orphans=false leaves them out")
	c.Flags().StringArrayVar(&o.Status, "status", nil, "only containers in this `state`: running, paused, exited, created, restarting")
	c.Flags().StringArrayVar(&o.Filters, "filter", nil, ps.FilterHelp)
	return c
}
