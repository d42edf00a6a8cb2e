package inventory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/spec"
)

// pruning is how resources that nothing uses are removed.
type pruning struct {
	of      resourceKind
	named   bool // of volumes: those too that have a name
	filters []string
	force   bool
}

func (p *pruning) flags(c *cobra.Command) {
	c.Flags().BoolVarP(&p.force, "force", "f", false, "don't ask")
	c.Flags().StringArrayVar(&p.filters, "filter", nil, "only those that `KEY=VALUE` holds for: label=NAME[=VALUE], label!=NAME[=VALUE]")
}

func (v *Verbs) volumePrune(k resourceKind) *cobra.Command {
	p := &pruning{of: k}
	c := &cobra.Command{
		Use: "prune", Short: "Remove the volumes that no container has", Args: cobra.NoArgs,
		Long: "Remove the volumes that nobody named and that no container has, with their data; with --all those with a name too.\n" +
			"Those with a name stay that are of a stack which \"orlop ls -a\" lists: it has them, or will.",
		Example: "  orlop volume prune\n  orlop volume prune -a -f --filter 'label!=keep'",
		RunE:    func(c *cobra.Command, _ []string) error { return v.pruneUnused(c.Context(), p) },
	}
	p.flags(c)
	c.Flags().BoolVarP(&p.named, "all", "a", false, "those that have a name, too")
	return c
}

func (v *Verbs) networkPrune(k resourceKind) *cobra.Command {
	p := &pruning{of: k, named: true}
	c := &cobra.Command{
		Use: "prune", Short: "Remove the networks that no container is on", Args: cobra.NoArgs,
		Long: "Remove the networks that no container is on. Those of a stack that \"orlop ls -a\" lists\n" +
			"stay: it uses them, or will.",
		Example: "  orlop network prune\n  orlop network prune -f --filter label=test",
		RunE:    func(c *cobra.Command, _ []string) error { return v.pruneUnused(c.Context(), p) },
	}
	p.flags(c)
	return c
}

func (v *Verbs) pruneUnused(ctx context.Context, p *pruning) error {
	wanted, err := labelFilter(p.filters)
	if err != nil {
		return err
	}
	inv := v.Of()
	return inv.WithEngine(ctx, func(ctx context.Context, client *api.Client) error {
		list, err := unused(ctx, client, p)
		if err != nil {
			return err
		}
		list = slices.DeleteFunc(list, func(r resource) bool { return !wanted(r.labels) })
		if len(list) == 0 {
			fmt.Fprintln(inv.Stderr, "nothing to remove")
			return nil
		}
		if !p.force || inv.DryRun {
			for _, r := range list {
				fmt.Fprintln(inv.Stderr, " - "+r.name)
			}
		}
		if may, err := v.mayRemove(ctx, p.force, spec.Plural(len(list), p.of.kind)); !may {
			return err
		}
		removed, err := removeAll(ctx, client, p.of, list)
		for _, name := range removed {
			fmt.Fprintln(inv.Stdout, name)
		}
		fmt.Fprintf(inv.Stderr, "removed %s\n", spec.Plural(len(removed), p.of.kind))
		return err
	})
}

// mayRemove asks whether what was listed may be removed, unless that is wanted without a
// word. A dry run removes nothing.
func (v *Verbs) mayRemove(ctx context.Context, force bool, what string) (bool, error) {
	inv := v.Of()
	switch {
	case inv.DryRun:
		fmt.Fprintln(inv.Stderr, "would remove "+what)
		inv.SayNotice("dry run: nothing was done")
		return false, nil
	case force:
		return true, nil
	}
	err := inv.MayRemove(ctx, "Remove "+what+"?")
	return err == nil, err
}

// unused are the resources that nothing uses, and no stack will that is here.
func unused(ctx context.Context, client *api.Client, p *pruning) ([]resource, error) {
	stacks, err := client.Projects(ctx, &api.ProjectsRequest{})
	if err != nil {
		return nil, err
	}
	list, err := p.of.list(ctx, client)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list, func(r resource) bool {
		isHere := slices.ContainsFunc(stacks.Projects, func(s *api.ProjectInfo) bool { return s.Name == r.project })
		return !r.dangles || !r.anonymous && (isHere || !p.named)
	}), nil
}

// removeAll removes resources, and gives the names of those that are gone.
func removeAll(ctx context.Context, client *api.Client, k resourceKind, list []resource) (removed []string, err error) {
	var errs []error
	for _, r := range list {
		switch absent, err := k.remove(ctx, client, r.name); {
		case err != nil:
			errs = append(errs, cli.Cause(ctx, err))
		case !absent:
			removed = append(removed, r.name)
		}
	}
	return removed, errors.Join(errs...)
}

// labelFilter reads the filters that Docker's prune of volumes and networks has: all must hold.
func labelFilter(filters []string) (func(labels map[string]string) bool, error) {
	var with, without []string
	for _, f := range filters {
		key, value, ok := strings.Cut(f, "=")
		switch {
		case ok && value != "" && key == "label":
			with = append(with, value)
		case ok && value != "" && key == "label!":
			without = append(without, value)
		default:
			return nil, fmt.Errorf("--filter is %q: it must be label=NAME[=VALUE] or label!=NAME[=VALUE]", f)
		}
	}
	return func(labels map[string]string) bool {
		has := func(want string) bool {
			name, value, valued := strings.Cut(want, "=")
			have, ok := labels[name]
			return ok && (!valued || have == value)
		}
		return !slices.ContainsFunc(with, func(w string) bool { return !has(w) }) && !slices.ContainsFunc(without, has)
	}, nil
}
