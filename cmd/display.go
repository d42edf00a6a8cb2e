package cmd

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// display shows one progress. It reads the plan and events, nothing else.
type display interface {
	plan(*planner.Plan)
	event(planner.Event)
	// finish ends the display with the verdict.
	finish(summary)
	// abort ends it without one: the stream broke or the user interrupted.
	abort()
}

// displayConfig says how a progress is shown.
type displayConfig struct {
	mode     string // tty, plain, json or quiet
	w        io.Writer
	style    style
	words    words
	services int // that the verb is about
	began    time.Time
	now      func() time.Time

	tracer  *Tracer       // nil: none
	flow    *workflow     // of the CI system that reads
	project *spec.Project // whose files failures are annotated in; may be nil
	beside  []display     // see it too
}

// newDisplay is the display of a mode, with a timeline beside it if one is
// wanted, folded and annotated where a CI system reads it.
func newDisplay(c displayConfig) display {
	d := c.screen()
	if c.tracer != nil {
		d = c.tracer.beside(d)
	}
	if c.words.fold != "" {
		d = &folded{d, c.flow, c.words.fold}
	}
	all := displays{d}
	if c.project != nil && c.flow.github {
		all = append(all, &annotator{c.project, c.flow})
	}
	return append(all, c.beside...)
}

func (c *displayConfig) screen() display {
	switch c.mode {
	case "json":
		return &jsonDisplay{enc: json.NewEncoder(c.w)}
	case "tty":
		return newTTYDisplay(c.w, newBoard(c.began), c.style, c.words, c.services, c.now, func() (int, int) { return size(c.w) })
	}
	return &plainDisplay{
		board: newBoard(c.began), w: c.w, st: c.style, words: c.words, services: c.services, quiet: c.mode == "quiet", now: c.now,
	}
}

// displays show one progress in several ways.
type displays []display

func (ds displays) plan(p *planner.Plan) {
	for _, d := range ds {
		d.plan(p)
	}
}

func (ds displays) event(e planner.Event) {
	for _, d := range ds {
		d.event(e)
	}
}

func (ds displays) finish(s summary) {
	for _, d := range ds {
		d.finish(s)
	}
}

func (ds displays) abort() {
	for _, d := range ds {
		d.abort()
	}
}

// folded is a display whose lines fold in a CI system's log; the verdict stays
// outside.
type folded struct {
	display
	flow  *workflow
	title string
}

func (d *folded) plan(p *planner.Plan) {
	if !p.IsEmpty() {
		d.flow.begin(d.title)
	}
	d.display.plan(p)
}

func (d *folded) finish(s summary) {
	d.flow.end()
	d.display.finish(s)
}

func (d *folded) abort() {
	d.flow.end()
	d.display.abort()
}

// plainDisplay prints a line when something ends, and for builds each step:
// lines are never taken back, so it suits files and pipes.
type plainDisplay struct {
	board    *board
	w        io.Writer
	st       style
	quiet    bool
	words    words
	services int
	now      func() time.Time
	last     map[string]string // row -> last text
}

func (d *plainDisplay) plan(p *planner.Plan) {
	d.board.setPlan(p)
	d.last = map[string]string{}
	if d.quiet || p.IsEmpty() {
		return
	}
	if d.words.header {
		fmt.Fprintln(d.w, header(d.board, d.services, d.st))
	}
}

func (d *plainDisplay) event(e planner.Event) {
	for _, r := range d.board.apply(e) {
		d.show(r, e)
	}
}

func (d *plainDisplay) show(r *row, e planner.Event) {
	switch {
	case r.mark == skipped, r.mark == cancelled && r.began.IsZero():
		return // one line for all of them, at the end
	case r.mark == failed && e.Kind == planner.Failed:
		if d.words.brief {
			return
		}
		fmt.Fprintln(d.w, d.board.line(r, d.now(), 0, 1000, d.st))
		for _, l := range r.output(d.st) {
			fmt.Fprintln(d.w, l)
		}
		return
	case d.quiet:
		return
	case r.mark == done || r.mark == cancelled:
		fmt.Fprintln(d.w, d.board.line(r, d.now(), 0, 1000, d.st))
		return
	}
	// Long work says what it is at; amounts would only flood.
	if text := cmp.Or(r.text, "begins"); (r.verb == "build" || r.verb == "pull") && d.last[r.id] != text {
		d.last[r.id] = text
		fmt.Fprintf(d.w, " %s %-9s %-*s %s\n", d.st.dim("·"), r.verb, d.board.nameWidth(), r.name, printable(planner.ShortDigests(text)))
	}
}

func (d *plainDisplay) finish(s summary) {
	d.sayLeftOut()
	if d.quiet && s.verdict.Ok || s.isToldElsewhere(d.board) {
		return
	}
	fmt.Fprintln(d.w, s.line(d.board, d.st))
}

func (d *plainDisplay) abort() { d.sayLeftOut() }

// sayLeftOut tells of what was not begun.
func (d *plainDisplay) sayLeftOut() {
	marks := []mark{cancelled, skipped}
	switch {
	case d.words.brief:
		return
	case d.quiet:
		marks = marks[1:]
	}
	for _, m := range marks {
		for _, l := range d.board.leftOut(m, d.now(), 1000, d.st) {
			fmt.Fprintln(d.w, l)
		}
	}
}

// header is the first line: what the stack is and what will be done.
func header(b *board, services int, st style) string {
	plan := *b.plan
	plan.Leave = 0
	return fmt.Sprintf(" %s  %s  ·  plan: %s", st.bold(plan.Project), spec.Plural(services, "service"), plan.Summary())
}

// jsonDisplay prints each message as a line of JSON. Its version changes when
// a reader of the old one would go wrong.
type jsonDisplay struct{ enc *json.Encoder }

const jsonVersion = 1

// newJSON writes lines of JSON that nobody puts into a page.
func newJSON(w io.Writer) *jsonDisplay {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return &jsonDisplay{enc: enc}
}

// write writes a line of the verb's own.
func (d *jsonDisplay) write(line jsonLine) {
	line.Version = jsonVersion
	_ = d.enc.Encode(line)
}

type jsonLine struct {
	Version  int            `json:"version"`
	Type     string         `json:"type"` // plan, event or verdict; of ci also test, warning and result
	Plan     *planner.Plan  `json:"plan,omitempty"`
	Event    *planner.Event `json:"event,omitempty"`
	OK       *bool          `json:"ok,omitempty"`
	UpToDate bool           `json:"up_to_date,omitempty"`
	Error    string         `json:"error,omitempty"`
	Took     time.Duration  `json:"took,omitempty"` // nanoseconds

	Service string `json:"service,omitempty"` // of a test
	Code    *int   `json:"exit_code,omitempty"`
	Reason  string `json:"reason,omitempty"`
}

func (d *jsonDisplay) plan(p *planner.Plan) {
	_ = d.enc.Encode(jsonLine{Version: jsonVersion, Type: "plan", Plan: p})
}

func (d *jsonDisplay) event(e planner.Event) {
	_ = d.enc.Encode(jsonLine{Version: jsonVersion, Type: "event", Event: &e})
}

func (d *jsonDisplay) finish(s summary) {
	_ = d.enc.Encode(jsonLine{
		Version: jsonVersion, Type: "verdict", OK: &s.verdict.Ok, UpToDate: s.verdict.UpToDate, Error: s.verdict.Error, Took: s.took,
	})
}

func (d *jsonDisplay) abort() {}
