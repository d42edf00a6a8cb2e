package cmd

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/planner"
)

// selection are the flags of up that say what is to be changed; plan has the
// same.
type selection struct {
	build, noBuild         bool
	yes                    bool
	forceRecreate          bool
	noRecreate, noDeps     bool
	recreateDeps, renew    bool
	removeOrphans, noStart bool
	scale                  []string
	pull                   string
	timeout                int
}

func (s *selection) flags(c *cobra.Command) {
	f := c.Flags()
	s.making(f)
	f.BoolVar(&s.noDeps, "no-deps", false, "leave out what the services depend on")
	f.BoolVar(&s.recreateDeps, "always-recreate-deps", false, "replace also what the named services depend on, even if nothing has changed")
	f.BoolVarP(&s.renew, "renew-anon-volumes", "V", false, "give containers that replace others new anonymous volumes, and remove the old ones with their data")
	f.BoolVar(&s.noStart, "no-start", false, "create containers without starting them")
	timeoutFlag(f, &s.timeout)
}

// making are those that say how containers are made.
func (s *selection) making(f *pflag.FlagSet) {
	f.BoolVar(&s.build, "build", false, "build images first, those that changed; \"build --no-cache\" builds in any case")
	f.BoolVar(&s.noBuild, "no-build", false, "take images as they are")
	f.BoolVar(&s.forceRecreate, "force-recreate", false, "replace containers even if nothing has changed")
	f.BoolVar(&s.noRecreate, "no-recreate", false, "leave existing containers as they are")
	f.BoolVar(&s.removeOrphans, "remove-orphans", false, "remove containers of services that the stack file no longer has")
	f.StringArrayVar(&s.scale, "scale", nil, "`SERVICE=N`: run N containers of a service")
	f.StringVar(&s.pull, "pull", "", "pull images: always, missing, never; without it as the stack file says")
	f.BoolVarP(&s.yes, "yes", "y", false, "do also what would be asked about: detach other projects' containers from a network that is made anew, and lose the data of a volume that is made anew")
}

// quietFlags hide how builds and pulls go, of a verb that shows more.
func quietFlags(f *pflag.FlagSet, s *cli.Settings) {
	f.BoolVar(&s.QuietBuild, "quiet-build", false, "don't show how builds go")
	f.BoolVar(&s.QuietPull, "quiet-pull", false, "don't show how pulls go")
}

// frozenFlag adds --frozen.
func (a *app) frozenFlag(c *cobra.Command) {
	c.Flags().BoolVar(&a.settings.Frozen, "frozen", false, "refuse images that are others than orlop.lock says; see orlop lock")
}

// timeoutFlag adds --timeout; less than 0, each container has its own.
func timeoutFlag(f *pflag.FlagSet, seconds *int) {
	f.IntVarP(seconds, "timeout", "t", -1, "`seconds` that containers get to stop; without it their own")
	f.Lookup("timeout").DefValue = "0" // of the help, which says in words what holds
}

// allowFlag adds --allow-remotes to a verb that asks about remote stacks, or would run
// what they name.
func allowFlag(f *pflag.FlagSet, allow *bool) {
	f.BoolVar(allow, "allow-remotes", false, "give remote stacks what they ask of this machine, this time")
}

func (s *selection) check() error {
	switch {
	case s.build && s.noBuild:
		return fmt.Errorf("--build and --no-build cannot be used together")
	case s.forceRecreate && s.noRecreate:
		return fmt.Errorf("--force-recreate and --no-recreate cannot be used together")
	case s.recreateDeps && s.noRecreate:
		return fmt.Errorf("--always-recreate-deps and --no-recreate cannot be used together")
	case s.renew && s.noRecreate:
		return fmt.Errorf("--renew-anon-volumes and --no-recreate cannot be used together")
	case s.pull == "":
		return nil
	}
	return cli.Choice("pull", s.pull, "always", "missing", "never")
}

func (s *selection) options(services []string, wait bool) planner.Options {
	return planner.Options{
		Services: services, NoDeps: s.noDeps, ForceRecreate: s.forceRecreate, NoRecreate: s.noRecreate, RecreateDeps: s.recreateDeps, Renew: s.renew,
		RemoveOrphans: s.removeOrphans, NoBuild: s.noBuild, Build: s.build, Pull: s.pull, NoStart: s.noStart, Wait: wait,
		Disturb: s.yes, Discard: s.yes,
	}
}
