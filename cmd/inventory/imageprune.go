package inventory

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/spec"
)

func (v *Verbs) imagePrune() *cobra.Command {
	var all, force bool
	var filters []string
	c := &cobra.Command{
		Use: "prune", Short: "Remove the images that no container uses",
		Long: "Remove the images that neither a container nor a scheduled job uses, and what only they need of the disk. What no image names any\n" +
			"more, as after a build, goes by itself: without --all there is nothing to do.",
		Example: "  orlop image prune -a\n  orlop image prune -a -f --filter until=240h --filter 'label!=keep'", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			req, err := pruneRequest(filters, v.Of().Now())
			if err != nil {
				return err
			}
			if !all {
				fmt.Fprintln(v.Of().Stderr, "nothing to remove: what no image names any more goes by itself; --all removes images that no container uses")
				return nil
			}
			return v.Of().WithEngine(c.Context(), func(ctx context.Context, client *api.Client) error { return v.prune(ctx, client, req, force) })
		},
	}
	c.Flags().BoolVarP(&all, "all", "a", false, "images that have a name, too")
	c.Flags().BoolVarP(&force, "force", "f", false, "don't ask")
	c.Flags().StringArrayVar(&filters, "filter", nil, "only those that `KEY=VALUE` holds for: until=TIME (10m, 240h, 2026-01-31), label=NAME[=VALUE], label!=NAME[=VALUE]")
	return c
}

// prune shows what would go and asks, unless that is wanted without a word.
func (v *Verbs) prune(ctx context.Context, client *api.Client, req *api.PruneRequest, force bool) error {
	if !force || v.Of().DryRun {
		req.DryRun = true
		reply, err := client.Image.Prune(ctx, req)
		if err != nil || len(reply.Names) == 0 {
			v.sayPruned(reply, err)
			return err
		}
		for _, name := range reply.Names {
			fmt.Fprintln(v.Of().Stderr, " - "+display.Printable(name))
		}
		if may, err := v.mayRemove(ctx, force, spec.Plural(len(reply.Names), "image")+", "+display.Bytes(reply.DiskBytes)); !may {
			return err
		}
		req.DryRun, req.Only = false, map[string]string{}
		for i, name := range reply.Names {
			if i < len(reply.Digests) { // an older engine gives none
				req.Only[name] = reply.Digests[i]
			}
		}
	}
	reply, err := client.Image.Prune(ctx, req)
	for _, name := range reply.GetNames() {
		fmt.Fprintln(v.Of().Stdout, name)
	}
	v.sayPruned(reply, err)
	return err
}

func (v *Verbs) sayPruned(reply *api.PruneReply, err error) {
	switch {
	case err != nil:
	case len(reply.Names) == 0:
		fmt.Fprintln(v.Of().Stderr, "nothing to remove")
	default:
		fmt.Fprintf(v.Of().Stderr, "removed %s, %s\n", spec.Plural(len(reply.Names), "image"), display.Bytes(reply.DiskBytes))
	}
}

// pruneRequest reads the filters that Docker's prune has.
func pruneRequest(filters []string, now time.Time) (*api.PruneRequest, error) {
	req := &api.PruneRequest{}
	for _, f := range filters {
		key, value, ok := strings.Cut(f, "=")
		switch {
		case !ok || value == "":
			return nil, wrongFilter(f)
		case key == "label":
			req.Labels = append(req.Labels, value)
		case key == "label!":
			req.Without = append(req.Without, value)
		case key == "until":
			at, err := timeOf(value, now)
			if err != nil {
				return nil, fmt.Errorf("--filter is %q: %w", f, err)
			}
			req.UntilUnixMs = at.UnixMilli()
		default:
			return nil, wrongFilter(f)
		}
	}
	return req, nil
}

func wrongFilter(f string) error {
	return fmt.Errorf("--filter is %q: it must be until=TIME, label=NAME[=VALUE] or label!=NAME[=VALUE]", f)
}

// timeOf is a time that is given by how long it is ago, by seconds since 1970, or as it is written.
func timeOf(text string, now time.Time) (time.Time, error) {
	if ago, err := time.ParseDuration(text); err == nil {
		return now.Add(-ago), nil
	}
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.Unix(seconds, 0), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		if at, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return at, nil
		}
	}
	return time.Time{}, errors.New("until must be a duration such as 240h, or a time such as 2026-01-31T12:00")
}
