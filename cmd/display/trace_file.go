package display

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/orlop/orlop/planner"
)

// Categories of the events of a trace file.
const (
	catVerb  = "verb"  // a whole progress
	catStep  = "step"  // a step of the plan
	catWait  = "wait"  // a step that waits for others
	catBuild = "build" // what BuildKit did for a build
)

// traceFile is a file in the Chrome trace event format.
type traceFile struct {
	Events []traceEvent `json:"traceEvents"`
	Unit   string       `json:"displayTimeUnit"`
}

// traceEvent is a complete event ("X") or a name ("M"). Times are microseconds
// since the epoch.
type traceEvent struct {
	Name string     `json:"name"`
	Cat  string     `json:"cat,omitempty"`
	Ph   string     `json:"ph"`
	Ts   int64      `json:"ts"`
	Dur  int64      `json:"dur"`
	Pid  int        `json:"pid"`
	Tid  int        `json:"tid"`
	Args *traceArgs `json:"args,omitempty"`
}

// traceArgs are what a viewer shows of an event, and what "orlop trace" reads.
type traceArgs struct {
	Name      string          `json:"name,omitempty"` // of metadata
	Project   string          `json:"project,omitempty"`
	OK        *bool           `json:"ok,omitempty"`
	ID        string          `json:"id,omitempty"`
	Action    planner.Action  `json:"action,omitempty"`
	Resource  string          `json:"resource,omitempty"`
	Service   string          `json:"service,omitempty"`
	Condition string          `json:"condition,omitempty"`
	Needs     []string        `json:"needs,omitempty"`
	Outcome   planner.Outcome `json:"outcome,omitempty"`
	Step      string          `json:"step,omitempty"` // of a build: whose part it is
	Cached    bool            `json:"cached,omitempty"`
	Error     string          `json:"error,omitempty"`
}

// writeTrace writes timelines down, each as a process of its own.
func writeTrace(all []*timeline) (string, error) {
	file := traceFile{Events: []traceEvent{}, Unit: "ms"}
	for i, t := range all {
		file.Events = append(file.Events, t.trace(i+1)...)
	}
	var b bytes.Buffer
	b.WriteString("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[")
	for i, e := range file.Events {
		line, err := json.Marshal(e)
		if err != nil {
			return "", err
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
		b.Write(line)
	}
	b.WriteString("\n]}\n")
	return b.String(), nil
}

// trace is a timeline as events: a row for the verb, one for each step, and as
// many for the parts of a build as overlap.
func (t *timeline) trace(pid int) []traceEvent {
	w := &traceWriter{pid: pid}
	w.name("process_name", t.verb+" "+t.project)
	tid := w.row(t.verb)
	ok := t.ok
	w.add(tid, t.verb+" "+t.project, catVerb, t.began, t.ended, &traceArgs{Project: t.project, OK: &ok, Name: t.verb})
	if t.planned.After(t.began) {
		w.add(tid, "planning", catWait, t.began, t.planned, nil)
	}
	for _, s := range t.stretches {
		if s.began.IsZero() {
			continue
		}
		tid := w.row(s.id)
		known := t.planned
		if s.known.After(known) {
			known = s.known
		}
		if on := t.latest(s.needs); on != nil && s.began.Sub(known) >= shortest {
			w.add(tid, "waits for "+on.id, catWait, known, s.began, nil)
		}
		ended := s.ended
		if ended.IsZero() {
			ended = t.ended
		}
		w.add(tid, s.id, catStep, s.began, ended, &traceArgs{
			ID: s.id, Action: s.action, Resource: s.resource, Service: s.service, Condition: s.condition, Needs: s.needs,
			Outcome: s.outcome, Error: s.text,
		})
		w.parts(s)
	}
	return w.events
}

type traceWriter struct {
	pid    int
	rows   int
	events []traceEvent
}

func (w *traceWriter) name(what, name string) {
	w.events = append(w.events, traceEvent{Name: what, Ph: "M", Pid: w.pid, Tid: w.rows, Args: &traceArgs{Name: name}})
}

func (w *traceWriter) row(name string) int {
	w.rows++
	w.name("thread_name", name)
	return w.rows
}

func (w *traceWriter) add(tid int, name, cat string, began, ended time.Time, args *traceArgs) {
	w.events = append(w.events, traceEvent{
		Name: name, Cat: cat, Ph: "X", Ts: began.UnixMicro(), Dur: max(0, ended.Sub(began).Microseconds()), Pid: w.pid, Tid: tid, Args: args,
	})
}

// parts gives the parts of a step rows of their own, so that none overlaps
// another on one.
func (w *traceWriter) parts(s *stretch) {
	parts := slices.SortedStableFunc(slices.Values(s.parts), func(x, y planner.Part) int { return x.Began.Compare(y.Began) })
	var free []time.Time // when each row is free
	var tids []int
	for _, p := range parts {
		lane := slices.IndexFunc(free, func(at time.Time) bool { return !at.After(p.Began) })
		if lane < 0 {
			lane = len(free)
			free, tids = append(free, p.Ended), append(tids, w.row(s.id+" · BuildKit"))
		}
		free[lane] = p.Ended
		w.add(tids[lane], p.Name, catBuild, p.Began, p.Ended, &traceArgs{Step: s.id, Cached: p.Cached, Error: p.Error})
	}
}

// ReadTrace reads back what writeTrace wrote.
func ReadTrace(data []byte) ([]*timeline, error) {
	var file traceFile
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, err
	}
	var all []*timeline
	by := map[int]*timeline{}
	slices.SortStableFunc(file.Events, func(x, y traceEvent) int { return cmp.Compare(order(x.Cat), order(y.Cat)) })
	for _, e := range file.Events {
		t := by[e.Pid]
		switch {
		case e.Ph != "X" || e.Args == nil:
		case e.Cat == catVerb:
			t = newTimeline(e.Args.Name, e.began())
			t.project, t.ended, t.ok = e.Args.Project, e.ended(), e.Args.OK != nil && *e.Args.OK
			by[e.Pid] = t
			all = append(all, t)
		case t == nil:
			return nil, errors.New("it has steps of no command")
		default:
			t.take(e)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("it has no command: \"orlop up --trace FILE\" writes such a file")
	}
	return all, nil
}

// order sorts events so that what is part of another comes after it.
func order(cat string) int { return slices.Index([]string{catVerb, catStep, catBuild}, cat) }

func (e *traceEvent) began() time.Time { return time.UnixMicro(e.Ts) }
func (e *traceEvent) ended() time.Time { return time.UnixMicro(e.Ts + e.Dur) }

func (t *timeline) take(e traceEvent) {
	switch a := e.Args; e.Cat {
	case catStep:
		t.add(&stretch{
			id: a.ID, action: a.Action, resource: a.Resource, service: a.Service, condition: a.Condition, needs: a.Needs,
			began: e.began(), ended: e.ended(), outcome: a.Outcome, text: a.Error,
		})
		if t.planned.IsZero() || e.began().Before(t.planned) {
			t.planned = e.began()
		}
	case catBuild:
		if s := t.byID[a.Step]; s != nil {
			s.parts = append(s.parts, planner.Part{Name: e.Name, Began: e.began(), Ended: e.ended(), Cached: a.Cached, Error: a.Error})
		}
	}
}

// Told is a timeline as "orlop trace" prints it: a sentence, and the critical
// path with its times.
func (t *timeline) Told(st Style) []string {
	path := t.criticalPath()
	took := "took"
	if !t.ok {
		took = "failed after"
	}
	head := fmt.Sprintf("%s %s %s", t.verb, took, Seconds(t.ended.Sub(t.began)))
	if why := spent(path, 3); why != "" {
		head += ": " + why
	}
	lines := []string{head}
	for _, l := range path {
		lines = append(lines, fmt.Sprintf("  %s %8s  %s", st.Dim(fmt.Sprintf("%8s", "+"+Clock(l.began.Sub(t.began)))), clockFine(l.took), l.what))
		for _, p := range longest(l.parts, 3) {
			lines = append(lines, st.Dim(fmt.Sprintf("  %8s %8s    %s", "", clockFine(p.Ended.Sub(p.Began)), Printable(p.Name))))
		}
	}
	return lines
}

// clockFine is a short time span in a column.
func clockFine(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return Seconds(d)
}

// longest are the n parts that took longest, of those that took time at all.
func longest(parts []planner.Part, n int) []planner.Part {
	took := func(p planner.Part) time.Duration { return p.Ended.Sub(p.Began) }
	parts = slices.DeleteFunc(slices.Clone(parts), func(p planner.Part) bool { return took(p) < 10*time.Millisecond })
	slices.SortStableFunc(parts, func(x, y planner.Part) int { return cmp.Compare(took(y), took(x)) })
	return parts[:min(n, len(parts))]
}
