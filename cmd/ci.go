package cmd

import (
	"github.com/spf13/cobra"

	"github.com/orlop/orlop/cmd/ci"
	"github.com/orlop/orlop/cmd/cli"
)

const ciHelp = `Bring the stack up in an instance of its own, run its tests beside it, remove everything, and end with the tests' code.

The tests are the services that are named, or those of profile "test". All other services are brought up first and
must be ready: healthy where they have a health check, ended with code 0 where they do their work and end. Then the
tests run, each as one container, one after the other in the order of their depends_on.

Whatever happens, the instance is removed with its volumes: after a failure, a time-out or an interrupt, and by the
engine when this command is killed. A second interrupt kills at once.

Exit codes:
  0    every test ended with 0
  N    the code of the first test that failed, as it is
  64   a mistake in the stack file or in the command line; nothing was started
  65   an image could not be built or pulled
  66   the environment did not come up
  67   --timeout: it took too long
  68   the tests passed, but the instance could not be removed
  69   a test did not run to completion: its container could not be made, another command stopped or removed
       it, or no engine could go on
  129  SIGHUP, 130 SIGINT, 143 SIGTERM ended the command
The last line says where the code comes from, for a test may end with any of these.`

func (a *app) ciCommand() *cobra.Command {
	var f ci.Options
	var cache cacheFlags
	c := &cobra.Command{
		Use:   "ci [SERVICE...]",
		Short: "Run the stack's tests in an instance of its own, and remove all of it",
		Long:  ciHelp,
		Example: "  orlop ci                                  run the services of profile test\n" +
			"  orlop ci --timeout 10m --artifacts out    with logs, plan and reports in out\n" +
			"  orlop ci e2e --junit '/reports/*.xml'     run one, with the reports that it writes",
		ValidArgsFunction: a.completeServices,
		RunE: func(c *cobra.Command, args []string) error {
			if f.Pull != "" {
				if err := cli.Choice("pull", f.Pull, "always", "missing", "never"); err != nil {
					return misuse(c, err)
				}
			}
			if err := cache.read(&a.Settings, &f.Builds); err != nil {
				return misuse(c, err)
			}
			return ci.Run(c.Context(), a.Invocation, args, f)
		},
	}
	c.Flags().DurationVar(&f.Timeout, "timeout", 0, "`time` that all may take, such as 10m; without it there is no limit")
	c.Flags().StringVar(&f.Artifacts, "artifacts", "", "`directory` for logs, events, plan, configuration and reports")
	c.Flags().StringArrayVar(&f.JUnit, "junit", nil, "`files` of the tests' containers to take into the report: /reports/**/*.xml")
	c.Flags().BoolVar(&f.Keep, "keep-on-failure", false, "leave a failed instance as it is, to look inside")
	c.Flags().BoolVar(&f.Build, "build", false, "build images first, those that changed; \"build --no-cache\" builds in any case")
	c.Flags().StringVar(&f.Pull, "pull", "", "pull images: always, missing, never; without it as the stack file says")
	allowFlag(c.Flags(), &a.settings.AllowRemotes)
	cache.flags(c)
	return c
}
