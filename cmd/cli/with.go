package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
)

// WithEngine connects, runs f, and disconnects.
func (inv *Invocation) WithEngine(ctx context.Context, f func(context.Context, *api.Client) error) error {
	ctx, cancel := inv.Interruptible(ctx)
	defer cancel()
	client, err := inv.Connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	return Cause(ctx, f(ctx, client))
}

// WithStack tells which project a verb about what runs means, connects, runs f,
// and disconnects. services are those that the verb names.
func (inv *Invocation) WithStack(ctx context.Context, services []string, f func(context.Context, *api.Client, Stack) error) error {
	ctx, cancel := inv.Interruptible(ctx)
	defer cancel()
	s, err := inv.Identify(ctx, services)
	if err != nil {
		return err
	}
	client, err := inv.Connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	return Cause(ctx, f(ctx, client, s))
}

// Choice checks the value of a flag that has few.
func Choice(flag, value string, choices ...string) error {
	return OneOf("--"+flag, value, choices)
}

// OneOf checks a value that a flag or variable gives.
func OneOf(name, value string, choices []string) error {
	if slices.Contains(choices, value) {
		return nil
	}
	return fmt.Errorf("%s is %q: it must be one of %s", name, value, strings.Join(choices, ", "))
}

// AtLeast refuses a command line that has too few arguments.
func AtLeast(n int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) < n {
			return fmt.Errorf("%s needs %s: see %s --help", c.CommandPath(), what, c.CommandPath())
		}
		return nil
	}
}
