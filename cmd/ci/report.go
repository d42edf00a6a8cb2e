package ci

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// How many of its last lines explain a container's failure, and how many of them
// stand in an annotation.
const (
	culpritLines   = 50
	annotatedLines = 20
)

// say prints a line of ci's own, where people read.
func (c *run) say(line string) {
	if c.Progress != "json" {
		fmt.Fprintln(c.Stderr, line)
	}
}

// note says what happens meanwhile.
func (c *run) note(text string) {
	if c.Progress != "quiet" {
		c.say(" " + text)
	}
}

// warn says what does not look right.
func (c *run) warn(text string) {
	text = c.Mask.Text(text)
	c.say(" " + c.ErrStyle().Yellow("! "+text))
	c.record.note(display.JSONLine{Type: "warning", Error: text})
}

// sayTest is the line of a test that has ended, or was skipped.
func (c *run) sayTest(t *testResult) {
	st := c.ErrStyle()
	switch {
	case t.skipped != "":
		c.say(fmt.Sprintf(" %s %-11s %s", st.Yellow("-"), t.service, t.skipped))
		return
	case t.code == 0 && c.Progress == "quiet":
		return
	}
	mark, text := st.Green("✓"), "passed after "+display.Seconds(t.took)
	if t.code != 0 {
		mark, text = st.Red("✗"), fmt.Sprintf("exit code %d%s after %s", t.code, display.Spaced(t.how), display.Seconds(t.took))
		printed := t.last.Lines()
		c.flow.Annotate("error", c.project.Places.Nearest("services."+t.service), t.service+" failed",
			strings.Join(append([]string{text}, printed[max(0, len(printed)-annotatedLines):]...), "\n"))
	}
	if n := t.reports.Count(); n.Tests > 0 {
		text += "      " + casesText(n.Tests, n.Failures+n.Errors, n.Skipped)
	}
	if c.flags.Artifacts != "" && t.code != 0 {
		text += "      " + filepath.Join(c.flags.Artifacts, "junit.xml")
	}
	c.say(fmt.Sprintf(" %s %-11s %s", mark, t.service, text))
}

func casesText(tests, failed, skipped int) string {
	text := spec.Plural(tests, "case")
	if failed > 0 {
		text = fmt.Sprintf("%d of %s failed", failed, text)
	}
	if skipped > 0 {
		text += fmt.Sprintf(", %d skipped", skipped)
	}
	return text
}

// explain tells of a failure: the culprit first, then what it stopped.
func (c *run) explain(ctx context.Context, err error) {
	for _, s := range c.sick {
		c.warn(s + " while the tests ran")
	}
	if err == nil {
		return
	}
	var by signalled
	failures := c.record.failures()
	for _, s := range failures {
		c.sayCulprit(ctx, s)
	}
	switch {
	case errors.As(err, &by):
	case errors.Is(err, errTimeout):
		c.explainTimeout(ctx)
	case len(failures) == 0 && !errors.As(err, new(cli.Exit)):
		c.say(" " + c.ErrStyle().Red("✗ "+err.Error()))
		path, _, _ := strings.Cut(err.Error(), ": ")
		c.flow.Annotate("error", c.project.Places.Nearest(path), "", err.Error())
	}
}

// explainTimeout names what had not ended when the time was over.
func (c *run) explainTimeout(ctx context.Context) {
	if t := c.running; t != nil {
		c.say(fmt.Sprintf(" %s %-11s hangs: it has not ended after %s", c.ErrStyle().Red("✗"), t.service, display.Seconds(c.Now().Sub(t.began))))
		return
	}
	for _, s := range c.record.waiting() {
		s.last.Text = "hangs: " + cmp.Or(s.last.Text, "it has not ended") + " after " + display.Seconds(c.Now().Sub(s.began))
		c.sayCulprit(ctx, s)
	}
}

// sayCulprit tells all that is known of a step that failed or hangs.
func (c *run) sayCulprit(ctx context.Context, s *stepRecord) {
	st := c.ErrStyle()
	verb, name := display.Describe(s.step.Action, s.step.Resource)
	if s.step.Action == planner.Await {
		verb, name = "up", s.step.Service
	}
	c.say(fmt.Sprintf(" %s %-9s %-17s %s", st.Red("✗"), verb, name, s.last.Text))
	lines := s.last.Lines
	if s.step.Service != "" && s.step.Action != planner.Build && s.step.Action != planner.Pull {
		notes, printed := c.evidence(ctx, s.step)
		for _, n := range notes {
			c.say("     " + n)
		}
		if len(printed) > 0 {
			lines = printed
		}
	}
	for _, l := range lines {
		c.say("     " + st.Dim("|") + " " + l)
	}
	if stopped := c.record.stopped(s); len(stopped) > 0 {
		c.say(fmt.Sprintf(" %s not started because of it: %s", st.Yellow("-"), strings.Join(stopped, ", ")))
	}
}

// evidence is what the engine knows of the containers that a step is about:
// how they stand, what their last probe said, and what they printed last.
func (c *run) evidence(ctx context.Context, s *planner.Step) (notes, printed []string) {
	o, err := c.observed(ctx, false)
	if err != nil {
		return nil, nil
	}
	var ids []string
	for i := range o.Containers {
		k := &o.Containers[i]
		if k.Service != s.Service || k.OneOff || s.Number > 0 && k.Number != s.Number || k.Health == planner.Healthy {
			continue
		}
		ids = append(ids, k.ID)
		notes = append(notes, display.Replica(k)+" "+display.StateNote(k))
		if p := k.LastProbe; p != nil {
			notes = append(notes, probeNote(p, c.Now())...)
		}
	}
	if len(ids) == 0 {
		return notes, nil
	}
	kept := &display.Tail{Most: culpritLines}
	_ = cli.ReadLines(ctx, c.client, &api.LogsRequest{Project: c.project.Name, Containers: ids, Tail: culpritLines, Masked: true}, kept.Piece) // what can't be read is said where logs are collected
	if len(kept.Lines()) > 0 {
		notes = append(notes, fmt.Sprintf("its last %s:", spec.Plural(len(kept.Lines()), "line")))
	}
	return notes, kept.Lines()
}

// probeNote is the last probe of a health check, with what it printed.
func probeNote(p *planner.ProbeInfo, now time.Time) []string {
	text := fmt.Sprintf("last probe, %s ago: exit code %d", display.Seconds(max(0, now.Sub(p.At))), p.ExitCode)
	if p.Failing > 0 {
		text += fmt.Sprintf(", failed %s in a row", spec.Times(p.Failing))
	}
	notes := []string{text}
	for line := range strings.Lines(strings.TrimSpace(p.Output)) {
		notes = append(notes, "| "+strings.TrimRight(line, "\r\n"))
	}
	return notes
}

// isWell says that a container of the environment is where it should be, and
// was not started again since it had restarted so often.
func isWell(k *planner.Container, restarts int) bool {
	up := k.State == planner.Running && k.Health != planner.Unhealthy && k.Restarts <= restarts
	return up || k.IsCompleted() || k.State == planner.Created
}

// verdict is the last line.
func (c *run) verdict() {
	where := []string{}
	if c.upTook > 0 && slices.ContainsFunc(c.results, func(t *testResult) bool { return t.container != "" }) {
		where = append(where, "environment up in "+display.Seconds(c.upTook))
	}
	if c.flags.Artifacts != "" {
		where = append(where, "artifacts in "+c.flags.Artifacts)
	}
	text := strings.Join(where, ", ")
	if text != "" {
		text += ". "
	}
	text += fmt.Sprintf("Exit code %d: %s", c.end.code, c.end.why)
	line := display.JSONLine{Version: display.JSONVersion, Type: "result", Code: &c.end.code, Reason: c.end.why, Took: c.Now().Sub(c.began)}
	c.record.note(line)
	switch {
	case c.Progress == "json":
		_ = json.NewEncoder(c.Stderr).Encode(line)
	case c.Progress != "quiet" || c.failed():
		c.say(" " + text)
	}
}
