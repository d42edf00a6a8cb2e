package cmd

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/doctor"
	"github.com/orlop/orlop/spec"
)

func (a *app) doctorCommand() *cobra.Command {
	var fix bool
	var format string
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Look whether this machine has what Orlop needs",
		Long: "Look whether this machine has what Orlop needs: the kernel, cgroups, networks, firewall, disk, limits, programs, published\n" +
			"ports, and a container from end to end. What fails is shown with its cure; the exit code is then 1.",
		Example: "  orlop doctor\n  orlop doctor --fix  load modules of the kernel and raise limits where that is safe",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := cli.Choice("format", format, "table", "json"); err != nil {
				return err
			}
			return a.doctor(c.Context(), fix, format)
		},
	}
	c.Flags().BoolVar(&fix, "fix", false, "do what the cures say where that is safe: modules and limits of the kernel")
	c.Flags().StringVar(&format, "format", "table", "table or json")
	return c
}

func (a *app) doctor(ctx context.Context, fix bool, format string) error {
	ctx, cancel := a.Interruptible(ctx)
	defer cancel()
	d, err := doctor.New(a.Invocation)
	if err != nil {
		return err
	}
	checks := []api.Check{}
	count := map[api.CheckLevel]int{}
	err = d.Examine(ctx, fix, func(c api.Check) {
		checks = append(checks, c)
		count[c.Result]++
		if format == "table" {
			a.sayCheck(c)
		}
	})
	if err != nil {
		return err
	}
	if format == "json" {
		enc := json.NewEncoder(a.Stdout)
		enc.SetEscapeHTML(false)
		err = enc.Encode(checks)
	} else {
		fmt.Fprintf(a.Stdout, "%s: %d failed, %s\n", spec.Plural(len(checks), "check"), count[api.CheckFailed], spec.Plural(count[api.CheckWarning], "warning"))
	}
	if err == nil && count[api.CheckFailed] > 0 {
		return cli.Exit{Code: cli.ExitFailure}
	}
	return err
}

// sayCheck prints a check, and what to do about it.
func (a *app) sayCheck(c api.Check) {
	style := a.StyleOf(a.Stdout)
	mark := style.Green("✓")
	switch c.Result {
	case api.CheckWarning:
		mark = style.Yellow("!")
	case api.CheckFailed:
		mark = style.Red("✗")
	}
	fixed := ""
	if c.Fixed {
		fixed = " (mended)"
	}
	fmt.Fprintf(a.Stdout, "%s %-13s %s%s\n", mark, c.Name, c.Found, fixed)
	if c.Cure != "" {
		fmt.Fprintf(a.Stdout, "  %-13s → %s\n", "", c.Cure)
	}
}
