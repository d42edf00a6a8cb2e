package cmd

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/ports"
)

func (a *app) portCommand() *cobra.Command {
	var protocol string
	var index int
	var all bool
	c := &cobra.Command{
		Use:   "port SERVICE [PORT] | port --json [SERVICE...]",
		Short: "Print where a service's port is published",
		Example: "  orlop port web 80\n" +
			"  orlop port web     all ports that a container publishes\n" +
			"  orlop port --json  all published ports of the stack\n" +
			"  orlop port --verbose web   and whether the kernel sends them to it, or why not",
		ValidArgsFunction: a.completeOneService,
		RunE: func(c *cobra.Command, args []string) error {
			if all {
				return ports.PrintJSON(c.Context(), a.Invocation, args)
			}
			if err := cli.AtLeast(1, "a service")(c, args); err != nil {
				return err
			}
			if len(args) > 2 {
				return fmt.Errorf("orlop port takes a service and one port, not %q too", args[2])
			}
			if len(args) == 1 {
				return ports.PrintAll(c.Context(), a.Invocation, args[0], index)
			}
			if number, p, ok := strings.Cut(args[1], "/"); ok {
				args[1], protocol = number, p
			}
			port, err := strconv.Atoi(args[1])
			if err != nil {
				return fmt.Errorf("%q is not a port", args[1])
			}
			return ports.Print(c.Context(), a.Invocation, args[0], port, strings.ToLower(protocol), index)
		},
	}
	c.Flags().StringVar(&protocol, "protocol", "tcp", "tcp or udp")
	c.Flags().IntVar(&index, "index", 0, "`number` of the container; the first without it")
	c.Flags().BoolVar(&all, "json", false, "all published ports, or those of the named services, as JSON")
	return c
}
