package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	core "github.com/orlop/orlop/deploy"
	"github.com/orlop/orlop/deploy/cluster"
	"github.com/orlop/orlop/spec"
)

func volumeCommand(invocation func() *cli.Invocation) *cobra.Command {
	c := &cobra.Command{
		Use: "volume", Short: "List and remove the claims of the stack's volumes", Args: cobra.NoArgs,
		Example: "  orlop deploy volume ls\n  orlop deploy volume rm data",
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(volumeList(invocation), volumeRemoval(invocation))
	return c
}

func volumeList(invocation func() *cli.Invocation) *cobra.Command {
	var p place
	var format string
	c := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List the claims, and which pods have them", Args: cobra.NoArgs, Example: "  orlop deploy volume ls",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := cli.Choice("format", format, "table", "json"); err != nil {
				return err
			}
			return with(c, invocation(), func(ctx context.Context, inv *cli.Invocation) error { return listVolumes(ctx, inv, p, format) })
		},
	}
	p.flags(c.Flags())
	c.Flags().StringVar(&format, "format", "table", "table or json")
	return c
}

func listVolumes(ctx context.Context, inv *cli.Invocation, p place, format string) error {
	client, observed, err := deployed(ctx, inv, p)
	if err != nil {
		return err
	}
	claims, err := core.Claims(ctx, client, observed)
	if err != nil {
		return err
	}
	if format == "json" {
		enc := json.NewEncoder(inv.Stdout)
		enc.SetEscapeHTML(false)
		return enc.Encode(append([]*core.Claim{}, claims...))
	}
	w := tabwriter.NewWriter(inv.Stdout, 0, 8, 3, ' ', 0)
	fmt.Fprintln(w, "VOLUME\tCLAIM\tSIZE\tCLASS\tSTATE\tUSED BY")
	for _, c := range claims {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", c.Volume, c.Name, c.Size, c.Class, c.State, strings.Join(c.Users, ", "))
	}
	return w.Flush()
}

func volumeRemoval(invocation func() *cli.Invocation) *cobra.Command {
	var p place
	var yes bool
	var timeout time.Duration
	c := &cobra.Command{
		Use: "rm NAME...", Aliases: []string{"remove"}, Short: "Remove claims that no pod has, with all data", Args: cli.AtLeast(1, "a volume of the stack file, or a claim"),
		Example: "  orlop deploy volume rm data      of the stack file's volume data, after a yes\n  orlop deploy volume rm shop-old  by the name that the cluster has for it",
		RunE: func(c *cobra.Command, args []string) error {
			return with(c, invocation(), func(ctx context.Context, inv *cli.Invocation) error {
				return removeVolumes(ctx, inv, p, args, yes, timeout)
			})
		},
	}
	p.flags(c.Flags())
	c.Flags().BoolVarP(&yes, "yes", "y", false, "don't ask before data is removed")
	goneFlag(c, &timeout)
	return c
}

func removeVolumes(ctx context.Context, inv *cli.Invocation, p place, named []string, yes bool, timeout time.Duration) error {
	return alone(ctx, inv, p, func(ctx context.Context, client *cluster.Client, observed *core.Observed) error {
		claims, err := claimsOf(ctx, client, observed, named)
		if err != nil {
			return err
		}
		plan, err := core.RemoveClaims(observed, claims)
		if err != nil {
			return err
		}
		words := display.Words{Done: "has lost " + spec.Plural(len(claims), "claim"), Failed: "has claims that were to be removed"}
		return remove(ctx, inv, &core.Remover{Client: client, Plan: plan, Timeout: timeout}, words, yes)
	})
}

// claimsOf are the claims of volumes by their names in the stack file, or their own.
func claimsOf(ctx context.Context, client *cluster.Client, observed *core.Observed, named []string) ([]*core.Claim, error) {
	all, err := core.Claims(ctx, client, observed)
	if err != nil {
		return nil, err
	}
	var out []*core.Claim
	var errs []error
	for _, name := range named {
		is := func(by func(*core.Claim) string) func(*core.Claim) bool {
			return func(c *core.Claim) bool { return by(c) == name }
		}
		i := slices.IndexFunc(all, is(func(c *core.Claim) string { return c.Volume }))
		if i < 0 {
			i = slices.IndexFunc(all, is(func(c *core.Claim) string { return c.Name }))
		}
		if i < 0 {
			errs = append(errs, fmt.Errorf("%s has no volume %s on %s: see \"orlop deploy volume ls\"", observed.Project, name, client.Where()))
		} else if !slices.Contains(out, all[i]) {
			out = append(out, all[i])
		}
	}
	return out, errors.Join(errs...)
}

// confirm asks before data is removed.
func confirm(ctx context.Context, inv *cli.Invocation, claims int, of string) error {
	if !display.IsTerminal(inv.Stdin) {
		return errors.New("data would be removed, and there is no terminal to ask on: --yes says yes")
	}
	yes, err := inv.Confirm(ctx, fmt.Sprintf("Remove %s of %s, with all data?", spec.Plural(claims, "claim"), of))
	if err == nil && !yes {
		return cli.ErrNothingRemoved
	}
	return err
}
