package display

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/spec"
)

// Words are what a verb calls its ends: "shop is up", "shop is up to date".
type Words struct {
	Done    string
	Nothing string
	Failed  string
	Header  bool   // the line over the tree
	Counts  bool   // "6 services, 7 containers" when there was nothing to do
	Silent  bool   // no last line when there was nothing to do
	Brief   bool   // what failed is told elsewhere, and what was skipped because of it
	Fold    string // what the tree is called where it folds; empty: it does not
	Logs    string // the verb that shows what services print; "" is "orlop logs"
	// Of are the services that the verb was given: "web is stopped"; none: the project.
	Of []string
}

// Summary is what the last line is made of.
type Summary struct {
	Words     Words
	Verdict   *api.Verdict
	Took      time.Duration
	Services  int
	Addresses []string
	Ailing    []string // what is wrong with containers that do not run as they should
}

// lines are the last ones: the verdict, and what is not well all the same.
func (s Summary) lines(b *Board, st Style) []string {
	return append([]string{s.line(b, st)}, ailingLines(s.Ailing, st)...)
}

// line is the verdict in one sentence.
func (s Summary) line(b *Board, st Style) string {
	switch {
	case !s.Verdict.Ok:
		return " " + st.Red(s.Words.Sentence(b.plan.Project, s.Words.Failed)) + s.why(b)
	case s.Verdict.UpToDate || b.plan.IsEmpty():
		text := " " + s.Words.Sentence(b.plan.Project, s.Words.Nothing)
		switch {
		case len(s.Ailing) > 0:
			text += ailingNote(s.Ailing)
		case s.Words.Counts:
			text += fmt.Sprintf(": %s, %s", spec.Plural(s.Services, "service"), spec.Plural(b.plan.Leave+b.containers(), "container"))
		}
		return text + st.Dim(fmt.Sprintf(" (%s)", Seconds(s.Took)))
	}
	mark := st.Green("✓")
	if len(s.Ailing) > 0 {
		mark = st.Yellow("!")
	}
	text := fmt.Sprintf(" %s %s in %s", mark, st.Bold(s.Words.Sentence(b.plan.Project, s.Words.Done)), Seconds(s.Took))
	if why := spent(b.times.criticalPath(), 2); why != "" {
		text += st.Dim(" (" + why + ")")
	}
	if len(s.Ailing) > 0 {
		text += ailingNote(s.Ailing)
	}
	if len(s.Addresses) > 0 {
		text += "   " + strings.Join(s.Addresses, "  ")
	}
	return text
}

// mostNamed is how many services a sentence names.
const mostNamed = 3

// Sentence says something of the project, or of the services that the verb was
// given: "web and db are stopped".
func (w Words) Sentence(project, what string) string {
	of := w.Of
	switch {
	case len(of) == 0:
		return project + " " + what
	case len(of) == 1:
		return of[0] + " " + what
	}
	verb, rest, _ := strings.Cut(what, " ")
	verb = cmp.Or(map[string]string{"is": "are", "has": "have"}[verb], verb)
	subject := fmt.Sprintf("%d services", len(of))
	if last := len(of) - 1; len(of) <= mostNamed {
		subject = strings.Join(of[:last], ", ") + " and " + of[last]
	}
	return subject + " " + verb + " " + rest
}

// isToldElsewhere says that the verdict would repeat what the verb tells of
// the steps that failed.
func (s Summary) isToldElsewhere(b *Board) bool {
	return s.Words.Brief && !s.Verdict.Ok && len(b.failures()) > 0
}

// exitCode is that of the program, not of a probe of its health.
var exitCode = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`exited with code (\d+)`) })

// why names what failed, and where to look.
func (s Summary) why(b *Board) string {
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
		case "build", "pull", "push", "network", "volume":
			name = r.verb + " " + name
		}
		if m := exitCode().FindStringSubmatch(r.text); m != nil && b.isContainer(r) {
			name += " failed (exit code " + m[1] + ")"
		} else {
			name += " failed"
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ": " + cmp.Or(spec.ShortDigests(s.Verdict.Error), "the engine gave no reason")
	}
	text := ": " + strings.Join(append(names, b.rollbacks()...), ", ")
	if len(services) > 0 {
		text += ". See: " + cmp.Or(s.Words.Logs, "orlop logs") + " " + strings.Join(services, " ")
	}
	return text
}

func (b *Board) isContainer(r *row) bool {
	for _, up := range b.ups[r.service] {
		if up == r {
			return true
		}
	}
	return r.verb == "await"
}

func (b *Board) containers() int {
	n := 0
	for _, rows := range b.ups {
		n += len(rows)
	}
	return n
}
