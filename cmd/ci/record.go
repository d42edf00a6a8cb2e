package ci

import (
	"cmp"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/planner"
)

// stepRecord is what became of one step.
type stepRecord struct {
	step  *planner.Step
	began time.Time
	last  planner.Event // the newest that changed how it stands
}

// record is a display that keeps what ci reports: the plan, what became of
// each step, what builds printed, and the stream of events as it came.
type record struct {
	lines  *display.JSON // events.jsonl; nil: not wanted
	closer io.Closer
	began  time.Time
	failed func(planner.Event) // is told of each failure that counts

	mu     sync.Mutex // guards what follows
	board  *display.Board
	text   *planner.Plan // the first plan
	steps  []*stepRecord
	byID   map[string]*stepRecord
	builds map[string][]string // service -> what its build printed
	over   bool                // steps that come now are not the environment's
}

// newRecord keeps events in w as lines too, unless it is nil.
func newRecord(w io.WriteCloser, began time.Time) *record {
	r := &record{board: display.NewBoard(began), began: began, byID: map[string]*stepRecord{}, builds: map[string][]string{}, failed: func(planner.Event) {}}
	if w != nil {
		r.lines, r.closer = display.NewJSON(w), w
	}
	return r
}

func (r *record) close() {
	if r.closer != nil {
		_ = r.closer.Close() // each line is written by itself
	}
}

func (r *record) Plan(p *planner.Plan) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lines != nil {
		r.lines.Plan(p)
	}
	if r.over {
		return
	}
	r.board = display.NewBoard(r.began)
	r.board.SetPlan(p)
	if r.text == nil {
		r.text = p
	}
	for _, s := range p.Steps {
		if r.byID[s.ID] == nil {
			kept := &stepRecord{step: s}
			r.steps, r.byID[s.ID] = append(r.steps, kept), kept
		}
	}
}

func (r *record) Event(e planner.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lines != nil {
		r.lines.Event(e)
	}
	if r.over || e.Kind == planner.Warned {
		return
	}
	r.board.Apply(e)
	r.keepBuild(e)
	s := r.byID[e.Step]
	if s == nil {
		return
	}
	switch e.Kind {
	case planner.Started:
		s.began, s.last = e.Time, e
	case planner.Progressed:
		s.last.Text = cmp.Or(e.Text, s.last.Text)
	default:
		s.last = e
	}
	if e.Kind == planner.Failed && !s.step.Optional {
		r.failed(e)
	}
}

// keepBuild keeps what a build prints, and where it stands.
func (r *record) keepBuild(e planner.Event) {
	if e.Action != planner.Build {
		return
	}
	lines := e.Lines
	switch {
	case e.Kind != planner.Progressed:
		lines = append([]string{strings.TrimSpace("[" + string(e.Kind) + "] " + e.Text)}, lines...)
	case len(lines) == 0 && e.Text != "":
		lines = []string{e.Text}
	}
	all := r.builds[e.Service]
	for _, l := range lines {
		if n := len(all); n == 0 || all[n-1] != l || len(e.Lines) > 0 { // amounts repeat the step's name
			all = append(all, l)
		}
	}
	r.builds[e.Service] = all
}

func (r *record) Finish(s display.Summary) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lines != nil {
		r.lines.Finish(s)
	}
}

func (r *record) Abort() {}

// note adds a line of ci's own to the events.
func (r *record) note(line display.JSONLine) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lines != nil {
		r.lines.Write(line)
	}
}

// endUp says that what comes from here on is not the environment's coming up.
func (r *record) endUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
}

// failures are the steps that failed, in the order of the plan.
func (r *record) failures() []*stepRecord {
	return r.those(func(s *stepRecord) bool { return s.last.Kind == planner.Failed && !s.step.Optional })
}

// waiting are the steps that have begun and not ended.
func (r *record) waiting() []*stepRecord {
	return r.those(func(s *stepRecord) bool {
		return s.last.Kind == planner.Started || s.last.Kind == planner.Cancelled && !s.began.IsZero()
	})
}

func (r *record) those(which func(*stepRecord) bool) []*stepRecord {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []*stepRecord
	for _, s := range r.steps {
		if which(s) {
			kept := *s
			out = append(out, &kept)
		}
	}
	return out
}

// stopped names the containers that did not start because a step failed.
func (r *record) stopped(by *stepRecord) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return dependents(r.steps, by.step)
}

// dependents are the containers whose steps need the given one, in the order
// of the plan.
func dependents(steps []*stepRecord, on *planner.Step) []string {
	hit := map[string]bool{on.ID: true}
	var names []string
	for again := true; again; {
		again = false
		for _, s := range steps {
			if hit[s.step.ID] || !slices.ContainsFunc(s.step.Needs, func(id string) bool { return hit[id] }) {
				continue
			}
			hit[s.step.ID], again = true, true
			made := on.Action == planner.Build || on.Action == planner.Pull
			if s.step.Action != planner.Await && (made || s.step.Service != on.Service) {
				names = append(names, s.step.Resource)
			}
		}
	}
	slices.Sort(names)
	return names
}

// waits says what has not ended yet.
func (r *record) waits(now time.Time) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.board.Unfinished(now)
}
