package cmd

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// words are what a verb calls its ends: "shop is up", "shop is up to date".
type words struct {
	done    string
	nothing string
	failed  string
	header  bool   // the line over the tree
	counts  bool   // "6 services, 7 containers" when there was nothing to do
	silent  bool   // no last line when there was nothing to do
	brief   bool   // what failed is told elsewhere, and what was skipped because of it
	fold    string // what the tree is called where it folds; empty: it does not
}

// summary is what the last line is made of.
type summary struct {
	words     words
	verdict   *api.Verdict
	took      time.Duration
	services  int
	addresses []string
}

// line is the last line: the verdict in one sentence.
func (s summary) line(b *board, st style) string {
	project := b.plan.Project
	switch {
	case !s.verdict.Ok:
		return " " + st.red(project+" "+s.words.failed) + s.why(b)
	case s.verdict.UpToDate || b.plan.IsEmpty():
		text := fmt.Sprintf(" %s %s", project, s.words.nothing)
		if s.words.counts {
			text += fmt.Sprintf(": %s, %s", spec.Plural(s.services, "service"), spec.Plural(b.plan.Leave+b.containers(), "container"))
		}
		return text + st.dim(fmt.Sprintf(" (%s)", seconds(s.took)))
	}
	text := fmt.Sprintf(" %s %s in %s", st.green("✓"), st.bold(project+" "+s.words.done), seconds(s.took))
	if why := spent(b.times.criticalPath(), 2); why != "" {
		text += st.dim(" (" + why + ")")
	}
	if len(s.addresses) > 0 {
		text += "   " + strings.Join(s.addresses, "  ")
	}
	return text
}

// isToldElsewhere says that the verdict would repeat what the verb tells of
// the steps that failed.
func (s summary) isToldElsewhere(b *board) bool {
	return s.words.brief && !s.verdict.Ok && len(b.failures()) > 0
}

// exitCode is that of the program, not of a probe of its health.
var exitCode = regexp.MustCompile(`exited with code (\d+)`)

// why names what failed, and where to look.
func (s summary) why(b *board) string {
	var names, services []string
	for _, r := range b.failures() {
		name := r.name
		if r.service != "" && (r.verb == "build" || b.isContainer(r)) {
			name = r.service
			if b.isContainer(r) && r.ran && !slices.Contains(services, name) {
				services = append(services, name)
			}
		}
		switch r.verb {
		case "build", "pull", "network", "volume":
			name = r.verb + " " + name
		}
		if m := exitCode.FindStringSubmatch(r.text); m != nil && b.isContainer(r) {
			name += " failed (exit code " + m[1] + ")"
		} else {
			name += " failed"
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ": " + cmp.Or(planner.ShortDigests(s.verdict.Error), "the engine gave no reason")
	}
	text := ": " + strings.Join(names, ", ")
	if len(services) > 0 {
		text += ". See: orlop logs " + strings.Join(services, " ")
	}
	return text
}

func (b *board) isContainer(r *row) bool {
	for _, up := range b.ups[r.service] {
		if up == r {
			return true
		}
	}
	return r.verb == "await"
}

func (b *board) containers() int {
	n := 0
	for _, rows := range b.ups {
		n += len(rows)
	}
	return n
}
