package watch

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/watch/loop"
	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/secret"
)

// NewDisplay shows a watch: one line an event, without secrets. interrupt
// is what Ctrl-C does.
func NewDisplay(inv *cli.Invocation, interrupt string) func(loop.Event) {
	if inv.Progress == "json" {
		enc := json.NewEncoder(inv.Stderr)
		return func(e loop.Event) {
			_ = enc.Encode(line{Version: display.JSONVersion, Type: "watch", Watch: maskedEvent(inv.Mask, e)})
		}
	}
	d := &screen{st: inv.ErrStyle(), quiet: inv.Progress == "quiet", width: 5, interrupt: interrupt}
	return func(e loop.Event) {
		e = maskedEvent(inv.Mask, e)
		if inv.Progress == "plain" {
			if words := composeWords(e); words != "" {
				fmt.Fprintln(inv.Stderr, words)
			}
		}
		for _, line := range d.lines(e) {
			fmt.Fprintln(inv.Stderr, line)
		}
	}
}

// composeWords is an event in the words of Compose, which scripts look for where they ask for plain progress; "" where
// it has none.
func composeWords(e loop.Event) string {
	switch e.Kind {
	case loop.Ready:
		return "Watch enabled"
	case loop.SyncDone:
		return fmt.Sprintf("Syncing service %q after %d changes were detected", e.Service, e.Files+e.Removed)
	case loop.Restarted:
		return fmt.Sprintf("service(s) [%q] restarted", e.Service)
	case loop.Building:
		return fmt.Sprintf("Rebuilding service(s) [%q] after changes were detected...", e.Service)
	case loop.Rebuilt, loop.Unchanged:
		return fmt.Sprintf("service(s) [%q] successfully built", e.Service)
	}
	return ""
}

// line is an event of a watch as a line of JSON.
type line struct {
	Version int        `json:"version"`
	Type    string     `json:"type"` // watch
	Watch   loop.Event `json:"watch"`
}

// screen keeps the columns of the lines.
type screen struct {
	st        display.Style
	quiet     bool
	width     int
	interrupt string
}

// timeColumn is where the times end.
const timeColumn = 44

// lines are an event in words.
func (d *screen) lines(e loop.Event) []string {
	if d.quiet && e.Kind != loop.Failed {
		return nil
	}
	d.width = max(d.width, len(e.Service))
	if e.Kind == loop.Warning {
		return []string{d.st.Bold(e.Text)} // as other complaints about the stack file
	}
	name := fmt.Sprintf("%-*s", d.width, e.Service)
	text, mark := d.text(e)
	head := fmt.Sprintf(" %s %s ", mark, d.st.Bold(name))
	if e.Service == "" {
		head = fmt.Sprintf(" %s ", mark)
	}
	line := head + text
	if e.Took > 0 {
		clock := display.Took(e.Took)
		line += strings.Repeat(" ", max(2, timeColumn-len([]rune(text))-len(clock))) + d.st.Dim(clock)
	}
	if e.Kind == loop.Rebuilt && e.ReadyAfter > 0 {
		line += "   " + fmt.Sprintf("replaced and ready after %s", display.Took(e.ReadyAfter))
	}
	lines := []string{line}
	for _, l := range e.Lines {
		lines = append(lines, d.st.Dim("     | ")+display.Printable(l))
	}
	return lines
}

func (d *screen) text(e loop.Event) (text, mark string) {
	good, bad, dim := d.st.Green("✓"), d.st.Red("✗"), d.st.Dim("·")
	switch e.Kind {
	case loop.Ready:
		return e.Text + "; Ctrl-C " + d.interrupt, dim
	case loop.SyncDone:
		if e.Text != "" {
			return syncText(e.Files, e.Removed) + "; " + e.Text, good
		}
		return syncText(e.Files, e.Removed), good
	case loop.Restarted:
		return "restarted", good
	case loop.Executed:
		return "ran " + e.Text, good
	case loop.Building:
		return "rebuilds", dim
	case loop.Rebuilt:
		text := "rebuilt"
		if e.StepFor > 50*time.Millisecond {
			text += fmt.Sprintf(" (%s %s)", e.Step, display.Took(e.StepFor))
		}
		return text, good
	case loop.Unchanged:
		return cmp.Or(e.Text, "built; the image is unchanged"), dim
	case loop.Applied:
		return "the stack matches its files", good
	case loop.Failed:
		return d.st.Red(e.Text), bad
	case loop.Note:
		return e.Text, dim
	}
	return e.Text, dim
}

func syncText(files, removed int) string {
	switch {
	case removed == 0:
		return "synced " + spec.Plural(files, "file")
	case files == 0:
		return "removed " + spec.Plural(removed, "file")
	}
	return fmt.Sprintf("synced %s, removed %d", spec.Plural(files, "file"), removed)
}

// maskedEvent is an event without secrets.
func maskedEvent(m *secret.Mask, e loop.Event) loop.Event {
	e.Text, e.Step = m.Text(e.Text), m.Text(e.Step)
	lines := make([]string, len(e.Lines))
	for i, l := range e.Lines {
		lines[i] = m.Text(l)
	}
	e.Lines = lines
	return e
}
