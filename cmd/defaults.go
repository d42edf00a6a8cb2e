package cmd

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/cmd/cli"
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
func takeDefaults(ctx context.Context, c *cobra.Command, s *cli.Settings) error {
	vars := s.Variables(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var problems []error
	for _, d := range []struct {
		variable, flag string
		value          *string
		choices        []string
	}{
		{varProgress, "progress", &s.Progress, []string{"auto", "tty", "plain", "json", "quiet"}},
		{varANSI, "ansi", &s.ANSI, []string{"auto", "always", "never"}},
	} {
		name := "--" + d.flag
		if value := vars[d.variable]; value != "" && !isGiven(c, d.flag) {
			*d.value, name = value, d.variable
		}
		problems = append(problems, cli.OneOf(name, *d.value, d.choices))
	}
	s.IgnoreOrphans = spec.IsTrue(vars[varIgnoreOrphans])
	problems = append(problems, takeOrphans(c, s, spec.IsTrue(vars[varRemoveOrphans])), takeLimit(c, s, vars[varParallelLimit]))
	return errors.Join(problems...)
}

// takeOrphans sets --remove-orphans of a verb that has it.
func takeOrphans(c *cobra.Command, s *cli.Settings, remove bool) error {
	f := c.Flags().Lookup("remove-orphans")
	if f == nil {
		return nil
	}
	if remove && !f.Changed {
		if err := f.Value.Set("true"); err != nil {
			return err
		}
	}
	if s.IgnoreOrphans && f.Changed && f.Value.String() == "true" {
		return fmt.Errorf("%s and --remove-orphans cannot be used together", varIgnoreOrphans)
	}
	return nil
}

// takeLimit reads how many steps are carried out at once; less than 1 is no limit.
func takeLimit(c *cobra.Command, s *cli.Settings, value string) error {
	if value == "" || isLimited(c) {
		s.Parallel = max(s.Parallel, 0)
		return nil
	}
	limit, err := strconv.Atoi(value)
	if err != nil {
		return fmt.Errorf("%s is %q: it must be an integer", varParallelLimit, value)
	}
	s.Parallel = max(limit, 0)
	return nil
}

// isGiven says whether a global flag stands on the command line, before the
// verb or after it.
func isGiven(c *cobra.Command, flag string) bool {
	return c.Flags().Changed(flag) || c.Root().Flags().Changed(flag)
}
