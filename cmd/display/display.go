package display

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// Display shows one progress. It reads the plan and events, nothing else.
type Display interface {
	Plan(*planner.Plan)
	Event(planner.Event)
	// finish ends the display with the verdict.
	Finish(Summary)
	// abort ends it without one: the stream broke or the user interrupted.
	Abort()
}

// Config says how a progress is shown.
type Config struct {
	Mode     string // tty, plain, json or quiet
	W        io.Writer
	Style    Style
	Words    Words
	Services int // that the verb is about
	Began    time.Time
	Now      func() time.Time

	Compose bool          // plain says what happens in the words of Compose
	Tracer  *Tracer       // nil: none
	Flow    *Workflow     // of the CI system that reads
	Project *spec.Project // whose files failures are annotated in; may be nil
	Beside  []Display     // see it too
}

// New is the display of a mode, with a timeline beside it if one is
// wanted, folded and annotated where a CI system reads it.
func New(c Config) Display {
	d := c.screen()
	if c.Tracer != nil {
		d = c.Tracer.beside(d)
	}
	if c.Words.Fold != "" {
		d = &folded{d, c.Flow, c.Words.Fold}
	}
	all := displays{d}
	if c.Project != nil && c.Flow.github {
		all = append(all, &annotator{c.Project, c.Flow})
	}
	return append(all, c.Beside...)
}

func (c *Config) screen() Display {
	switch c.Mode {
	case "json":
		return &JSON{Enc: json.NewEncoder(c.W)}
	case "tty":
		return newTTYDisplay(c.W, NewBoard(c.Began), c.Style, c.Words, c.Services, c.Now, func() (int, int) { return Size(c.W) })
	}
	return &plainDisplay{
		board: NewBoard(c.Began), w: c.W, st: c.Style, words: c.Words, services: c.Services, quiet: c.Mode == "quiet", now: c.Now,
		compose: c.Compose && c.Mode == "plain", project: c.Project,
	}
}

// displays show one progress in several ways.
type displays []Display

func (ds displays) Plan(p *planner.Plan) {
	for _, d := range ds {
		d.Plan(p)
	}
}

func (ds displays) Event(e planner.Event) {
	for _, d := range ds {
		d.Event(e)
	}
}

func (ds displays) Finish(s Summary) {
	for _, d := range ds {
		d.Finish(s)
	}
}

func (ds displays) Abort() {
	for _, d := range ds {
		d.Abort()
	}
}

// folded is a display whose lines fold in a CI system's log; the verdict stays
// outside.
type folded struct {
	Display
	flow  *Workflow
	title string
}

func (d *folded) Plan(p *planner.Plan) {
	if !p.IsEmpty() {
		d.flow.Begin(d.title)
	}
	d.Display.Plan(p)
}

func (d *folded) Finish(s Summary) {
	d.flow.End()
	d.Display.Finish(s)
}

func (d *folded) Abort() {
	d.flow.End()
	d.Display.Abort()
}

// plainDisplay prints a line when something ends, and for builds each step:
// lines are never taken back, so it suits files and pipes.
type plainDisplay struct {
	board    *Board
	w        io.Writer
	st       Style
	quiet    bool
	words    Words
	services int
	now      func() time.Time
	last     map[string]string // row -> last text
	compose  bool              // in the words of Compose
	project  *spec.Project     // may be nil
}

func (d *plainDisplay) Plan(p *planner.Plan) {
	d.board.SetPlan(p)
	d.last = map[string]string{}
	if d.quiet || p.IsEmpty() {
		return
	}
	if d.words.Header {
		fmt.Fprintln(d.w, header(d.board, d.services, d.st))
	}
}

func (d *plainDisplay) Event(e planner.Event) {
	for _, r := range d.board.Apply(e) {
		lines := []string(nil)
		if d.compose {
			lines = d.board.composeLines(r, e, d.project)
		}
		for _, l := range lines {
			fmt.Fprintln(d.w, l)
		}
		if len(lines) == 0 || r.mark != done {
			d.show(r, e)
		}
	}
}

func (d *plainDisplay) show(r *row, e planner.Event) {
	switch {
	case r.mark == skipped, r.mark == cancelled && r.began.IsZero():
		return // one line for all of them, at the end
	case r.mark == failed && e.Kind == planner.Failed:
		if d.words.Brief {
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
	if e.Part != nil && e.Part.Cached && !strings.HasPrefix(e.Part.Name, "[internal]") {
		fmt.Fprintln(d.w, d.at(r, e.Part.Name+": cached"))
	}
	// Long work says what it is at; amounts would only flood.
	if text := cmp.Or(r.text, "started"); (r.verb == "build" || r.verb == "pull" || r.verb == "push") && d.last[r.id] != text {
		d.last[r.id] = text
		fmt.Fprintln(d.w, d.at(r, text))
	}
}

// at says what a row is at.
func (d *plainDisplay) at(r *row, text string) string {
	return fmt.Sprintf(" %s %s%s", d.st.Dim("·"), d.board.head(r), Printable(spec.ShortDigests(text)))
}

func (d *plainDisplay) Finish(s Summary) {
	d.sayLeftOut()
	if d.quiet && s.Verdict.Ok && len(s.Ailing) == 0 || s.isToldElsewhere(d.board) {
		return
	}
	for _, l := range s.lines(d.board, d.st) {
		fmt.Fprintln(d.w, l)
	}
}

func (d *plainDisplay) Abort() { d.sayLeftOut() }

// sayLeftOut tells of what was not begun.
func (d *plainDisplay) sayLeftOut() {
	marks := []mark{cancelled, skipped}
	switch {
	case d.words.Brief:
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
func header(b *Board, services int, st Style) string {
	plan := *b.plan
	plan.Leave = 0
	return fmt.Sprintf(" %s  %s  ·  plan: %s", st.Bold(plan.Project), spec.Plural(services, "service"), plan.Summary())
}

// JSON prints each message as a line of JSON. Its version changes when
// a reader of the old one would go wrong.
type JSON struct{ Enc *json.Encoder }

// JSONVersion is the version of the lines.
const JSONVersion = 1

// NewJSON writes lines of JSON that nobody puts into a page.
func NewJSON(w io.Writer) *JSON {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return &JSON{Enc: enc}
}

// Write writes a line of the verb's own.
func (d *JSON) Write(line JSONLine) {
	line.Version = JSONVersion
	_ = d.Enc.Encode(line)
}

// JSONLine is a line of a progress, or of a verb's own.
type JSONLine struct {
	Version  int            `json:"version"`
	Type     string         `json:"type"` // plan, event or verdict; of ci also test, warning and result
	Plan     *planner.Plan  `json:"plan,omitempty"`
	Event    *planner.Event `json:"event,omitempty"`
	OK       *bool          `json:"ok,omitempty"`
	UpToDate bool           `json:"up_to_date,omitempty"`
	Error    string         `json:"error,omitempty"`
	Took     time.Duration  `json:"took,omitempty"`   // nanoseconds
	Ailing   []string       `json:"ailing,omitempty"` // what is wrong with containers that do not run as they should

	Service string `json:"service,omitempty"` // of a test
	Code    *int   `json:"exit_code,omitempty"`
	Reason  string `json:"reason,omitempty"`
}

// Plan writes the plan.
func (d *JSON) Plan(p *planner.Plan) {
	_ = d.Enc.Encode(JSONLine{Version: JSONVersion, Type: "plan", Plan: p})
}

// Event writes an event.
func (d *JSON) Event(e planner.Event) {
	_ = d.Enc.Encode(JSONLine{Version: JSONVersion, Type: "event", Event: &e})
}

// Finish writes the verdict.
func (d *JSON) Finish(s Summary) {
	_ = d.Enc.Encode(JSONLine{
		Version: JSONVersion, Type: "verdict", OK: &s.Verdict.Ok, UpToDate: s.Verdict.UpToDate, Error: s.Verdict.Error, Took: s.Took, Ailing: s.Ailing,
	})
}

// Abort writes nothing: there is no verdict.
func (d *JSON) Abort() {}
