package cmd

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/cmd/cli"
)

func (a *app) createCommand() *cobra.Command {
	f := upFlags{selection: selection{noStart: true, timeout: -1}}
	c := &cobra.Command{
		Use:               "create [SERVICE...]",
		Short:             "Make the containers of the stack without starting them",
		Example:           "  orlop create\n  orlop start",
		ValidArgsFunction: a.completeServices,
		RunE:              func(c *cobra.Command, args []string) error { return a.up(c.Context(), args, f) },
	}
	allowFlag(c.Flags(), &a.settings.AllowRemotes)
	f.selection.making(c.Flags())
	quietFlags(c.Flags(), &a.settings)
	a.frozenFlag(c)
	spell(c, map[string]string{"y": "yes"})
	return c
}

func (a *app) scaleCommand() *cobra.Command {
	f := upFlags{detach: true, selection: selection{noBuild: true, timeout: -1}}
	c := &cobra.Command{
		Use:     "scale SERVICE=N...",
		Short:   "Run so many containers of services",
		Long:    "Run so many containers of services, until an up says otherwise. Images are taken as they are.",
		Example: "  orlop scale web=3 worker=0",
		Args:    cli.AtLeast(1, "a service with a number, as in web=3"),
		ValidArgsFunction: func(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
			names, _ := a.completeServices(c, nil, begun)
			for i, name := range names {
				names[i] = name + "="
			}
			return names, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(c *cobra.Command, args []string) error {
			var services []string
			for _, arg := range args {
				name, number, ok := strings.Cut(arg, "=")
				if n, err := strconv.Atoi(number); !ok || name == "" || err != nil || n < 0 {
					return fmt.Errorf("%q is not SERVICE=N, as in web=3", arg)
				}
				if slices.Contains(services, name) {
					return fmt.Errorf("%s is given two numbers", name)
				}
				services = append(services, name)
			}
			f.scale = args
			return a.up(c.Context(), services, f)
		},
	}
	c.Flags().BoolVar(&f.noDeps, "no-deps", false, "leave out what the services depend on")
	allowFlag(c.Flags(), &a.settings.AllowRemotes)
	timeoutFlag(c.Flags(), &f.timeout)
	return c
}
