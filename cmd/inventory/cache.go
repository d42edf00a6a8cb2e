package inventory

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/format"
	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/size"
)

// Cache are the verbs about the build cache.
func (v *Verbs) Cache() []*cobra.Command { return []*cobra.Command{v.cacheLs(), v.cachePrune()} }

// cacheLine is a record of the build cache, in Docker's names.
type cacheLine struct {
	ID            string
	Parent        string // IDs
	CacheType     string
	Size          string
	CreatedAt     string
	CreatedSince  string
	LastUsedAt    string
	LastUsedSince string
	UsageCount    int64
	InUse         bool // by a build that runs
	Shared        bool // an image has it too
	Description   string
}

func cacheHeaders() format.Headers {
	return format.Headers{
		"ID": "CACHE ID", "Parent": "PARENT", "CacheType": "CACHE TYPE", "Size": "SIZE", "CreatedAt": "CREATED", "CreatedSince": "CREATED", "LastUsedAt": "LAST USED",
		"LastUsedSince": "LAST USED", "UsageCount": "USAGE", "InUse": "IN USE", "Shared": "SHARED", "Description": "DESCRIPTION",
	}
}

// cached is the build cache, the largest first.
func cached(ctx context.Context, client *api.Client) ([]*controlapi.UsageRecord, error) {
	reply, err := controlapi.NewControlClient(client.Conn()).DiskUsage(ctx, &controlapi.DiskUsageRequest{})
	if err != nil {
		return nil, fmt.Errorf("cannot list the build cache: %w", cli.Cause(ctx, err))
	}
	slices.SortStableFunc(reply.Record, func(x, y *controlapi.UsageRecord) int {
		if x.Size != y.Size {
			return int(max(-1, min(1, y.Size-x.Size)))
		}
		return strings.Compare(x.ID, y.ID)
	})
	return reply.Record, nil
}

func cacheLineOf(r *controlapi.UsageRecord, now time.Time) cacheLine {
	l := cacheLine{
		ID: r.ID, Parent: strings.Join(r.Parents, ","), CacheType: r.RecordType, Size: display.DockerBytes(r.Size),
		UsageCount: r.UsageCount, InUse: r.InUse, Shared: r.Shared, Description: oneLine(r.Description),
	}
	if at := r.CreatedAt; at != nil {
		l.CreatedAt, l.CreatedSince = at.AsTime().Format(time.RFC3339), display.Ago(now, at.AsTime())
	}
	if at := r.LastUsedAt; at != nil {
		l.LastUsedAt, l.LastUsedSince = at.AsTime().Format(time.RFC3339), display.Ago(now, at.AsTime())
	}
	return l
}

func (v *Verbs) cacheLs() *cobra.Command {
	var quiet bool
	var text string
	c := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List what builds have left for the next ones", Args: cobra.NoArgs,
		Long: "List what builds have left for the next ones, the largest first. What is shared is a layer of an\n" +
			"image as well, and stays with that. What is in use is of a build that runs.",
		Example: "  orlop cache ls\n  orlop cache ls --format '{{.Size}}\\t{{.Description}}'",
		RunE: func(c *cobra.Command, _ []string) error {
			f, err := format.Parse[cacheLine](text, "records", cacheHeaders())
			if err != nil {
				return err
			}
			return v.Of().WithEngine(c.Context(), func(ctx context.Context, client *api.Client) error {
				list, err := cached(ctx, client)
				if err != nil {
					return err
				}
				return v.printCache(list, f, quiet)
			})
		},
	}
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "IDs only")
	c.Flags().StringVar(&text, "format", "table", format.Help)
	return c
}

func (v *Verbs) printCache(list []*controlapi.UsageRecord, f *format.Format[cacheLine], quiet bool) error {
	w, now := v.Of().Stdout, v.Of().Now()
	switch {
	case quiet:
		for _, r := range list {
			fmt.Fprintln(w, r.ID)
		}
		return nil
	case !f.IsTable():
		var lines []cacheLine
		for _, r := range list {
			lines = append(lines, cacheLineOf(r, now))
		}
		return f.Print(w, lines)
	}
	if err := cacheTable(w, list, now); err != nil {
		return err
	}
	u := cacheUse(list)
	fmt.Fprintf(w, "%s, %s of it reclaimable\n", display.Bytes(u.bytes), display.Bytes(u.free))
	return nil
}

func cacheTable(w io.Writer, list []*controlapi.UsageRecord, now time.Time) error {
	t := display.NewTable(w)
	fmt.Fprintln(t, "CACHE ID\tSIZE\tLAST USED\tUSAGE\tSTATE\tDESCRIPTION")
	for _, r := range list {
		l := cacheLineOf(r, now)
		state := "-"
		if r.Shared {
			state = "shared"
		}
		if r.InUse {
			state = "in use"
		}
		fmt.Fprintf(t, "%.12s\t%s\t%s\t%d\t%s\t%s\n", l.ID, display.Bytes(r.Size), orDash(l.LastUsedSince), l.UsageCount, state, cut(l.Description, false))
	}
	return t.Flush()
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// cacheUse adds the build cache up. What images have too counts with those.
func cacheUse(list []*controlapi.UsageRecord) (u use) {
	for _, r := range list {
		u.total++
		if r.InUse {
			u.active++
		}
		if r.Shared {
			continue
		}
		u.bytes += r.Size
		if !r.InUse {
			u.free += r.Size
		}
	}
	return u
}

func (v *Verbs) cachePrune() *cobra.Command {
	var req controlapi.PruneRequest
	var keep string
	var filters []string
	var force bool
	c := &cobra.Command{
		Use: "prune", Short: "Remove what builds have left for the next ones", Args: cobra.NoArgs,
		Long: "Remove what builds have left for the next ones, but for what a build that runs is using. Builds are slower\n" +
			"once afterwards; images and containers stay.\n\n" +
			"With --keep, BuildKit removes whole records, those first that were used longest ago and least often, until the rest\n" +
			"is smaller.",
		Example: "  orlop cache prune --keep 10GB\n  orlop cache prune -f --filter until=240h",
		RunE: func(c *cobra.Command, _ []string) error {
			if keep != "" {
				bytes, ok := size.Parse(keep)
				if !ok {
					return fmt.Errorf("--keep is %q: it must be a size such as 10GB or 500MB", keep)
				}
				req.ReservedSpace = bytes
			}
			age, err := untilFilter(filters, v.Of().Now())
			if err != nil {
				return err
			}
			req.KeepDuration = int64(age)
			return v.Of().WithEngine(c.Context(), func(ctx context.Context, client *api.Client) error {
				return v.pruneCache(ctx, client, &req, force)
			})
		},
	}
	c.Flags().StringVar(&keep, "keep", "", "`size` that stays, of what was used last: 10GB as sizes are printed, by 1000, or 10GiB, by 1024")
	c.Flags().BoolVarP(&req.All, "all", "a", false, "what BuildKit has for itself too, and what images share")
	c.Flags().StringArrayVar(&filters, "filter", nil, "only what was last used before `until=TIME` (10m, 240h, 2026-01-31)")
	c.Flags().BoolVarP(&force, "force", "f", false, "don't ask")
	return c
}

func (v *Verbs) pruneCache(ctx context.Context, client *api.Client, req *controlapi.PruneRequest, force bool) error {
	if !force || v.Of().DryRun {
		list, err := cached(ctx, client)
		if err != nil {
			return err
		}
		records, bytes := victims(list, req, v.Of().Now())
		what := fmt.Sprintf("%s of the build cache, about %s", spec.Plural(records, "record"), display.Bytes(bytes))
		if records == 0 {
			what = "nothing of the build cache, which takes " + display.Bytes(cacheUse(list).bytes)
		}
		if may, err := v.mayRemove(ctx, force, what); !may {
			return err
		}
	}
	records, bytes, err := dropCache(ctx, client, req)
	fmt.Fprintf(v.Of().Stderr, "removed %s of the build cache, %s\n", spec.Plural(records, "record"), display.Bytes(bytes))
	return err
}

// dropCache has BuildKit prune, and tells what has gone.
func dropCache(ctx context.Context, client *api.Client, req *controlapi.PruneRequest) (records int, bytes int64, err error) {
	stream, err := controlapi.NewControlClient(client.Conn()).Prune(ctx, req)
	if err != nil {
		return 0, 0, fmt.Errorf("cannot prune the build cache: %w", cli.Cause(ctx, err))
	}
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return records, bytes, nil
		}
		if err != nil {
			return records, bytes, fmt.Errorf("cannot prune all of the build cache: %w", cli.Cause(ctx, err))
		}
		records++
		bytes += r.Size
	}
}

// untilFilter reads --filter of what has an age only; 0 is none.
func untilFilter(filters []string, now time.Time) (age time.Duration, err error) {
	for _, f := range filters {
		value, ok := strings.CutPrefix(f, "until=")
		if !ok {
			return 0, fmt.Errorf("--filter is %q: it must be until=TIME", f)
		}
		at, err := timeOf(value, now)
		if err != nil {
			return 0, fmt.Errorf("--filter is %q: %w", f, err)
		}
		if age = now.Sub(at); age <= 0 {
			return 0, fmt.Errorf("--filter is %q: that is not in the past", f)
		}
	}
	return age, nil
}
