package deploy

import (
	"context"
	"encoding/json"
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
	"github.com/orlop/orlop/deploy/rollout"
	"github.com/orlop/orlop/spec"
)

func statusCommand(invocation func() *cli.Invocation) *cobra.Command {
	var p place
	var format string
	var follow bool
	c := &cobra.Command{
		Use: "status [SERVICE...]", Short: "Show how the deployed services are",
		Example: "  orlop deploy status\n  orlop deploy status --wait  until all is ready, or something has failed",
		RunE: func(c *cobra.Command, args []string) error {
			if err := cli.Choice("format", format, "table", "json"); err != nil {
				return err
			}
			return with(c, invocation(), func(ctx context.Context, inv *cli.Invocation) error { return status(ctx, inv, p, args, format, follow) })
		},
	}
	p.flags(c.Flags())
	c.Flags().StringVar(&format, "format", "table", "table or json")
	c.Flags().BoolVar(&follow, "wait", false, "wait until all is ready, or something has failed")
	return c
}

// deployed is what the cluster has of the project that the command is about.
func deployed(ctx context.Context, inv *cli.Invocation, p place) (*cluster.Client, *core.Observed, error) {
	stack, err := inv.Identify(ctx, nil)
	if err != nil {
		return nil, nil, err
	}
	client, err := connect(inv, p)
	if err != nil {
		return nil, nil, err
	}
	observed, err := core.Observe(ctx, client, stack.Name, nil, spec.Places{})
	return client, observed, cli.Cause(ctx, err)
}

func status(ctx context.Context, inv *cli.Invocation, p place, named []string, format string, wait bool) error {
	client, observed, err := deployed(ctx, inv, p)
	if err != nil {
		return err
	}
	services, err := chosen(observed, named, client.Where())
	if err != nil {
		return err
	}
	mirror, err := core.Follow(ctx, client, observed)
	if err != nil {
		return err
	}
	defer mirror.Close()
	for {
		changed := mirror.Changed()
		rows := core.Statuses(mirror, observed, services)
		if !wait || isSettled(rows) {
			if wait { // the cluster may have given addresses meanwhile
				if observed, err = core.Observe(ctx, client, observed.Project, nil, spec.Places{}); err != nil {
					return err
				}
			}
			for i := range rows {
				rows[i].Addresses = observed.Addresses(rows[i].Service)
			}
			return showStatus(ctx, inv, client, observed, rows, format)
		}
		if err := mirror.Wait(ctx, changed, 0); err != nil {
			return err
		}
	}
}

// isSettled says that nothing is under way any more.
func isSettled(rows []core.Status) bool {
	done := true
	for _, r := range rows {
		if r.State.Failure != "" {
			return true
		}
		done = done && r.State.Done
	}
	return done
}

func showStatus(ctx context.Context, inv *cli.Invocation, client *cluster.Client, observed *core.Observed, rows []core.Status, format string) error {
	failed, last := false, observed.Last()
	for i := range rows {
		failed = failed || rows[i].State.Failure != "" || isFailedFor(last, rows[i].State)
	}
	if format == "json" {
		enc := json.NewEncoder(inv.Stdout)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(rows); err != nil {
			return err
		}
		return exitIf(failed)
	}
	fmt.Fprintf(inv.Stdout, " %s on %s  revision %d, %s\n", inv.StyleOf(inv.Stdout).Bold(observed.Project), client.Where(), last.Number, last.State+" "+ago(inv, last.At))
	if all, err := chosen(observed, nil, client.Where()); err == nil && len(rows) == len(all) && !slices.ContainsFunc(rows, func(r core.Status) bool { return r.Kind != "" }) {
		fmt.Fprintln(inv.Stdout, " nothing of it is there: \"orlop deploy\" starts it, \"orlop deploy plan\" shows what that would make")
		return exitIf(failed)
	}
	w := tabwriter.NewWriter(inv.Stdout, 0, 8, 3, ' ', 0)
	header, isPublished := " SERVICE\tKIND\tREADY\tRESTARTS\tIMAGE\tSTATE", slices.ContainsFunc(rows, func(r core.Status) bool { return len(r.Addresses) > 0 })
	if isPublished {
		header += "\tADDRESS"
	}
	fmt.Fprintln(w, header)
	for _, r := range rows {
		line := fmt.Sprintf(" %s\t%s\t%d/%d\t%d\t%s\t%s", r.Service, r.Kind, r.State.Ready, r.State.Wanted, r.Restarts, image(r.Image), display.Printable(spec.ShortDigests(r.Text())+before(&r)))
		if isPublished {
			line += "\t" + display.Printable(strings.Join(r.Addresses, ", "))
		}
		fmt.Fprintln(w, line)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, r := range rows {
		state := r.State
		switch {
		case state.Failure != "":
		case isFailedFor(last, state):
			state.Failure = state.Text
		default:
			continue
		}
		explained := core.Explain(ctx, client, r.Name, state)
		fmt.Fprintf(inv.Stdout, "\n %s: %s\n", r.Service, display.Printable(spec.ShortDigests(explained.Error())))
		if with, is := explained.(*core.NotReady); is {
			for _, line := range with.Shown {
				fmt.Fprintln(inv.Stdout, "     | "+display.Printable(spec.ShortDigests(line)))
			}
		}
	}
	return exitIf(failed)
}

// isFailedFor says that a service may be what a deploy has failed for: it is not ready yet.
func isFailedFor(r *core.Revision, state rollout.State) bool {
	return r.State == core.StateFailed && !state.Done && state.Text != ""
}

// ago is how long ago something was, within a sentence.
func ago(inv *cli.Invocation, t time.Time) string {
	text := display.Ago(inv.Now(), t)
	return strings.ToLower(text[:1]) + text[1:]
}

// before tells of pods that go on while newer ones are not ready.
func before(r *core.Status) string {
	if r.State.Done || r.State.Before == 0 {
		return ""
	}
	return fmt.Sprintf("; still ready of before: %d", r.State.Before)
}

func exitIf(failed bool) error {
	if failed {
		return cli.Exit{Code: cli.ExitFailure}
	}
	return nil
}

func image(ref string) string {
	if ref == "" {
		return ""
	}
	_, digest, _ := strings.Cut(ref, "@")
	if digest == "" {
		return bare(ref)
	}
	return bare(ref) + "@" + strings.TrimPrefix(spec.ShortDigests(digest), "sha256:")
}
