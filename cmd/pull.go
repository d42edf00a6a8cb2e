package cmd

import (
	"github.com/spf13/cobra"

	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/planner"
)

func (a *app) pullCommand() *cobra.Command {
	var includeDeps, ignoreBuildable, ignoreFailures bool
	var policy string
	c := &cobra.Command{
		Use:   "pull [SERVICE...]",
		Short: "Pull the services' images",
		Example: "  orlop pull db              the newest image of db; containers stay as they are until up\n" +
			"  orlop pull --ignore-buildable  only what no service builds",
		ValidArgsFunction: a.completeServices,
		RunE: func(c *cobra.Command, services []string) error {
			if one, _ := c.Flags().GetBool("no-parallel"); one {
				a.settings.Parallel = 1
			}
			if policy != "" {
				if err := cli.Choice("policy", policy, "always", "missing"); err != nil {
					return err
				}
			}
			return a.applyImages(c.Context(), services, cli.Application{
				Options:         planner.Options{PullOnly: true, Pull: policy, NoDeps: !includeDeps},
				IgnoreBuildable: ignoreBuildable, IgnoreFailures: ignoreFailures,
			}, display.Words{Done: "is pulled", Nothing: "has nothing to pull", Failed: "is not pulled"}, nil)
		},
	}
	allowFlag(c.Flags(), &a.settings.AllowRemotes)
	addQuiet(c)
	c.Flags().Bool("no-parallel", false, "pull one image after the other; --parallel=1 does the same")
	hide(c, "no-parallel")
	parallelSwitch(c, &a.settings.Parallel)
	a.frozenFlag(c)
	c.Flags().StringVar(&policy, "policy", "", "always or missing")
	c.Flags().BoolVar(&includeDeps, "include-deps", false, "pull what the services depend on too")
	c.Flags().BoolVar(&ignoreBuildable, "ignore-buildable", false, "leave images out that a service builds")
	c.Flags().BoolVar(&ignoreFailures, "ignore-pull-failures", false, "pull what can be pulled, and warn of the rest")
	return c
}
