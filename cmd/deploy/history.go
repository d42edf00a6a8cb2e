package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	core "github.com/orlop/orlop/deploy"
	"github.com/orlop/orlop/spec"
)

func historyCommand(invocation func() *cli.Invocation) *cobra.Command {
	var p place
	var format string
	c := &cobra.Command{
		Use: "history [REVISION]", Short: "Show what was deployed, when and by whom", Args: cobra.MaximumNArgs(1),
		Example: "  orlop deploy history    a line each\n  orlop deploy history 3  all fields that it changed",
		RunE: func(c *cobra.Command, args []string) error {
			if err := cli.Choice("format", format, "table", "json"); err != nil {
				return err
			}
			return with(c, invocation(), func(ctx context.Context, inv *cli.Invocation) error { return history(ctx, inv, p, format, args) })
		},
	}
	p.flags(c.Flags())
	c.Flags().StringVar(&format, "format", "table", "table or json")
	return c
}

// revisionLine is a revision as JSON has it.
type revisionLine struct {
	Revision int       `json:"revision"`
	State    string    `json:"state"`
	At       time.Time `json:"at"`
	By       string    `json:"by"`
	Note     string    `json:"note,omitempty"`
	Changes  []string  `json:"changes"`
}

func history(ctx context.Context, inv *cli.Invocation, p place, format string, named []string) error {
	client, observed, err := deployed(ctx, inv, p)
	if err != nil {
		return err
	}
	if observed.Last() == nil {
		return fmt.Errorf("%s is not deployed on %s", observed.Project, client.Where())
	}
	lines := revisionLines(observed.Revisions, inv.Mask.Text)
	if len(named) > 0 {
		lines = slices.DeleteFunc(lines, func(l revisionLine) bool { return strconv.Itoa(l.Revision) != named[0] })
		if len(lines) == 0 {
			return fmt.Errorf("there is no revision %s: see \"orlop deploy history\"", named[0])
		}
	}
	if format == "json" {
		enc := json.NewEncoder(inv.Stdout)
		enc.SetEscapeHTML(false)
		return enc.Encode(lines)
	}
	if len(named) > 0 {
		fmt.Fprintf(inv.Stdout, " revision %d, %s %s by %s\n", lines[0].Revision, lines[0].State, ago(inv, lines[0].At), lines[0].By)
		for _, change := range lines[0].Changes {
			fmt.Fprintln(inv.Stdout, "   "+display.Printable(change))
		}
		return nil
	}
	w := tabwriter.NewWriter(inv.Stdout, 0, 8, 3, ' ', 0)
	fmt.Fprintln(w, "REVISION\tSTATE\tWHEN\tBY\tCHANGES")
	for _, l := range lines {
		text := "first"
		switch {
		case l.Note != "":
			text = l.Note
		case len(l.Changes) > 1:
			text = fmt.Sprintf("%s, and %d more", l.Changes[0], len(l.Changes)-1)
		case len(l.Changes) == 1:
			text = l.Changes[0]
		case l.Revision != lines[0].Revision || l.Revision > 1:
			text = "nothing of the stack file"
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\n", l.Revision, l.State, display.Ago(inv.Now(), l.At), l.By, display.Printable(text))
	}
	return w.Flush()
}

// revisionLines are the lines of revisions, oldest first.
func revisionLines(revisions []*core.Revision, mask func(string) string) []revisionLine {
	var lines []revisionLine
	var before *core.Document
	for i, r := range revisions {
		line := revisionLine{Revision: r.Number, State: r.State, At: r.At, By: r.By, Note: r.Note, Changes: []string{}}
		if r.State == core.StateDeploying && i < len(revisions)-1 {
			line.State = "cut off" // another has followed
		}
		for _, why := range core.Differences(before, r.Document) {
			line.Changes = append(line.Changes, mask(spec.ShortDigests(why.String())))
		}
		before = r.Document
		lines = append(lines, line)
	}
	return lines
}

func rollbackCommand(invocation func() *cli.Invocation) *cobra.Command {
	var w what
	c := &cobra.Command{
		Use: "rollback [REVISION]", Short: "Go back to what was deployed before", Args: cobra.MaximumNArgs(1),
		Example: "  orlop deploy rollback            to the last revision before this one that was deployed wholly\n  orlop deploy rollback 3          to that one\n  orlop --dry-run deploy rollback  show what would change",
		RunE: func(c *cobra.Command, args []string) error {
			number := 0
			if len(args) == 1 {
				n, err := strconv.Atoi(args[0])
				if err != nil || n < 1 {
					return fmt.Errorf("%q is no revision: see \"orlop deploy history\"", args[0])
				}
				number = n
			}
			return with(c, invocation(), func(ctx context.Context, inv *cli.Invocation) error { return rollback(ctx, inv, w, number) })
		},
	}
	w.place.flags(c.Flags())
	w.acting(c.Flags())
	c.Flags().BoolVar(&w.force, "force-conflicts", false, "take over fields that others have changed on the cluster")
	return c
}

func rollback(ctx context.Context, inv *cli.Invocation, w what, number int) error {
	client, observed, err := deployed(ctx, inv, w.place)
	if err != nil {
		return err
	}
	last := observed.Last()
	if last == nil {
		return fmt.Errorf("%s is not deployed on %s", observed.Project, client.Where())
	}
	target := observed.Deployed(last.Number)
	if number > 0 {
		target = observed.Revision(number)
	}
	switch {
	case target == nil && number > 0:
		return fmt.Errorf("there is no revision %d to go back to: see \"orlop deploy history\"", number)
	case target == nil:
		return fmt.Errorf("no revision before %d was deployed wholly: \"orlop deploy history\" has those that can be named", last.Number)
	}
	for at, ref := range target.Document.Images {
		if target.Document.Inputs[serviceOf(at)] != nil && !isPushed(ref) {
			return fmt.Errorf("revision %d ended before its images were pushed: see \"orlop deploy history\" for one that was deployed", target.Number)
		}
	}
	d := &deployment{Invocation: inv, what: w, cluster: client, project: target.Document.Project, told: true}
	d.images = &images{Invocation: inv, what: &d.what, project: d.project}
	note := fmt.Sprintf("rollback to %d", target.Number)
	_, err = d.deploy(ctx, note, func() (*core.Plan, error) {
		set, found := target.Document.Set(nil)
		if len(found.Errors()) > 0 {
			return nil, d.Complain(found)
		}
		observed, err := core.Observe(ctx, client, d.project.Name, set, spec.Places{})
		if err != nil {
			return nil, err
		}
		document := *target.Document
		document.Restarts, document.Deadline, document.Publish = last.Document.Restarts, w.deadline(last), last.Document.Publish
		for name := range d.project.Services {
			if w.restart {
				document.Restart(name, observed.Next())
			}
		}
		if set, found = document.Set(nil); len(found.Errors()) > 0 {
			return nil, d.Complain(found)
		}
		return core.Converge(ctx, client, &document, set, observed, core.Options{
			Force: w.force, Wait: w.wait, Note: note, By: holder(inv),
		}, spec.Places{})
	})
	return err
}
