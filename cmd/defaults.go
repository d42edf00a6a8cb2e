package cmd

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// Variables of Compose that stand for flags, in the environment or in an
// environment file.
const (
	varProgress      = "COMPOSE_PROGRESS"
	varANSI          = "COMPOSE_ANSI"
	varRemoveOrphans = "COMPOSE_REMOVE_ORPHANS"
	varIgnoreOrphans = "COMPOSE_IGNORE_ORPHANS"
	varParallelLimit = "COMPOSE_PARALLEL_LIMIT"
)

// takeDefaults lets Compose's variables speak where no flag of a command does.
func (a *app) takeDefaults(c *cobra.Command) error {
	vars := a.variables()
	var problems []error
	for _, d := range []struct {
		variable, flag string
		value          *string
		choices        []string
	}{
		{varProgress, "progress", &a.progress, []string{"auto", "tty", "plain", "json", "quiet"}},
		{varANSI, "ansi", &a.ansi, []string{"auto", "always", "never"}},
	} {
		name := "--" + d.flag
		if value := vars[d.variable]; value != "" && !isGiven(c, d.flag) {
			*d.value, name = value, d.variable
		}
		problems = append(problems, oneOf(name, *d.value, d.choices))
	}
	a.ignoreOrphans = spec.IsTrue(vars[varIgnoreOrphans])
	problems = append(problems, a.takeOrphans(c, spec.IsTrue(vars[varRemoveOrphans])), a.takeLimit(vars[varParallelLimit]))
	return errors.Join(problems...)
}

// takeOrphans settles --remove-orphans of a verb that has it.
func (a *app) takeOrphans(c *cobra.Command, remove bool) error {
	f := c.Flags().Lookup("remove-orphans")
	if f == nil {
		return nil
	}
	if remove && !f.Changed {
		if err := f.Value.Set("true"); err != nil {
			return err
		}
	}
	if a.ignoreOrphans && f.Changed && f.Value.String() == "true" {
		return fmt.Errorf("%s and --remove-orphans exclude each other", varIgnoreOrphans)
	}
	return nil
}

// takeLimit reads how many steps are carried out at once; less than 1 is no limit.
func (a *app) takeLimit(value string) error {
	if value == "" {
		return nil
	}
	limit, err := strconv.Atoi(value)
	if err != nil {
		return fmt.Errorf("%s is %q: it must be a whole number", varParallelLimit, value)
	}
	a.parallel = max(limit, 0)
	return nil
}

// leaveOrphans takes out of a plan what the caller does not want to hear of.
func (a *app) leaveOrphans(p *planner.Plan) {
	if a.ignoreOrphans && p != nil {
		p.Orphans = nil
	}
}

// isGiven says whether a global flag stands on the command line, before the
// verb or after it.
func isGiven(c *cobra.Command, flag string) bool {
	return c.Flags().Changed(flag) || c.Root().Flags().Changed(flag)
}
