package display

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/orlop/orlop/planner"
)

// Tracer keeps the timelines of all progresses of one command and gives them
// away at the end of each: a command may be killed after it.
type Tracer struct {
	verb   string
	began  time.Time
	file   string // "": none
	otlp   *otlp  // nil: none
	now    func() time.Time
	warn   io.Writer
	all    []*timeline
	whole  *timeline // of a verb with several progresses; nil: each has its own
	failed bool      // writing failed once and was told
}

// NewTracer records for a file and for the collector that the environment names;
// nil where there is neither.
func NewTracer(verb string, began time.Time, file string, env map[string]string, now func() time.Time, warn io.Writer) *Tracer {
	export := newOTLP(env)
	if file == "" && export == nil {
		return nil
	}
	return &Tracer{verb: verb, began: began, file: file, otlp: export, now: now, warn: warn}
}

// Join gives all that the verb does one timeline, until it ends with endWhole.
func (t *Tracer) Join() {
	if t != nil {
		t.whole = newTimeline(t.verb, t.began)
		t.all = append(t.all, t.whole)
	}
}

// Own begins a step of the verb's own on the joined timeline; end gives how it
// ended.
func (t *Tracer) Own(action planner.Action, name string) (end func(outcome planner.Outcome, text string)) {
	if t == nil {
		return func(planner.Outcome, string) {}
	}
	s := t.whole.begin(action, name, t.now())
	return func(outcome planner.Outcome, text string) { s.ended, s.outcome, s.text = t.now(), outcome, text }
}

// EndWhole ends the joined timeline.
func (t *Tracer) EndWhole(ok bool) {
	if t != nil {
		t.whole.ok = ok
		t.write(t.whole)
		t.send(t.whole)
	}
}

// beside makes a display that records what it shows.
func (t *Tracer) beside(d Display) Display {
	if t.whole != nil {
		return &tracedDisplay{Display: d, tracer: t, times: t.whole}
	}
	began := t.began
	if len(t.all) > 0 {
		began = t.now()
	}
	times := newTimeline(t.verb, began)
	t.all = append(t.all, times)
	return &tracedDisplay{Display: d, tracer: t, times: times}
}

// tracedDisplay is a display with a timeline beside it.
type tracedDisplay struct {
	Display
	tracer *Tracer
	times  *timeline
}

func (d *tracedDisplay) Plan(p *planner.Plan) {
	d.times.setPlan(p)
	d.Display.Plan(p)
}

func (d *tracedDisplay) Event(e planner.Event) {
	d.times.apply(e)
	d.Display.Event(e)
}

func (d *tracedDisplay) Finish(s Summary) {
	d.times.ok = s.Verdict.Ok
	d.Display.Finish(s)
	d.tracer.give(d.times)
}

func (d *tracedDisplay) Abort() {
	d.Display.Abort()
	d.tracer.give(d.times)
}

// exportTimeout bounds how long the end of a command waits for a collector.
const exportTimeout = 3 * time.Second

// give ends a progress: its timeline is written, and sent unless more is to
// come.
func (t *Tracer) give(times *timeline) {
	t.write(times)
	if times != t.whole {
		t.send(times)
	}
}

// write ends a timeline and writes all of them to the file. That it does not
// work is said once and changes nothing else.
func (t *Tracer) write(times *timeline) {
	times.ended = t.now()
	if t.file == "" {
		return
	}
	text, err := writeTrace(t.all)
	if err == nil {
		err = ReplaceFile(t.file, text)
	}
	t.say(err)
}

// send sends a timeline to the collector, if there is one.
func (t *Tracer) send(times *timeline) {
	if t.otlp == nil || len(times.stretches) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), exportTimeout)
	defer cancel()
	t.say(t.otlp.send(ctx, times))
}

func (t *Tracer) say(err error) {
	if err != nil && !t.failed {
		t.failed = true
		fmt.Fprintf(t.warn, " ! %v\n", err)
	}
}
