package planner

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Outcome is how a step ended.
type Outcome string

// The outcomes and the phases of a step, as Event.Kind.
const (
	Started    Outcome = "started"
	Progressed Outcome = "progress"
	Warned     Outcome = "warning" // it goes on, and its text is something to know
	Done       Outcome = "done"
	Unchanged  Outcome = "unchanged" // nothing had to be done after all
	Failed     Outcome = "failed"
	Skipped    Outcome = "skipped" // something that it needs failed
	Cancelled  Outcome = "cancelled"
)

// Event is what happened to a step, when. It is the only thing that a display
// reads.
type Event struct {
	Time     time.Time     `json:"time"`
	Step     string        `json:"step,omitempty"`
	Action   Action        `json:"action,omitempty"`
	Resource string        `json:"resource,omitempty"`
	Service  string        `json:"service,omitempty"`
	Kind     Outcome       `json:"kind"`
	Took     time.Duration `json:"took,omitempty"`    // of a step that ended, in nanoseconds
	Text     string        `json:"text,omitempty"`    // what is being done, or the outcome, in a few words
	Lines    []string      `json:"lines,omitempty"`   // the output that explains a failure
	Current  int64         `json:"current,omitempty"` // of Total, in bytes
	Total    int64         `json:"total,omitempty"`
	Cause    string        `json:"cause,omitempty"` // of Skipped: the step that failed
	Part     *Part         `json:"part,omitempty"`  // of Progressed: a piece of the work that has ended
}

// Masked is the event with hide applied to all that may hold a value of the
// user's.
func (e Event) Masked(hide func(string) string) Event {
	e.Text, e.Lines = hide(e.Text), masked(e.Lines, hide)
	if e.Part != nil {
		part := *e.Part
		part.Name, part.Error = hide(part.Name), hide(part.Error)
		e.Part = &part
	}
	return e
}

// Part is a piece of a step's work, such as one instruction of a Dockerfile.
type Part struct {
	Name   string    `json:"name"`
	Began  time.Time `json:"began"`
	Ended  time.Time `json:"ended"`
	Cached bool      `json:"cached,omitempty"`
	Error  string    `json:"error,omitempty"`
}

// Executor carries out one step. It reports progress through note, which may be
// called from any goroutine until Execute returns. A result of Unchanged says
// that nothing had to be done; "" stands for Done.
type Executor interface {
	Execute(ctx context.Context, step *Step, note func(Event)) (Result, error)
}

// Result is what an executor says of a step that succeeded.
type Result struct {
	Outcome Outcome
	Text    string
}

// StepError is a step that failed, with its cause.
type StepError struct {
	Step *Step
	Err  error
}

func (e *StepError) Error() string { return e.Step.Resource + ": " + e.Err.Error() }
func (e *StepError) Unwrap() error { return e.Err }

// Walk carries out the plan: each step as soon as what it needs has succeeded,
// at most limit of them at once (waiting ones are not counted), or as many as
// the plan's caller allows. What a failed step stopped is skipped, the rest
// goes on. The error joins a *StepError for each root cause. now is the clock
// of the events.
func (p *Plan) Walk(ctx context.Context, executor Executor, limit int, now func() time.Time, emit func(Event)) error {
	w := newWalk(p, executor, now, emit)
	if p.Limit > 0 {
		limit = min(limit, p.Limit)
	}
	return w.run(ctx, max(limit, 1))
}

type node struct {
	step    *Step
	waits   int     // needs and afters that have not ended
	unblock []*node // steps that wait for this one
	weight  int     // length of the longest chain that hangs on it
	index   int     // position in the plan
	begun   time.Time
	failed  *node // the root cause that this one is skipped for
	eased   bool  // what it follows turned out unchanged: another action does
	outcome Outcome
	result  Result
	err     error
}

type walk struct {
	nodes    []*node
	byID     map[string]*node
	ready    ready
	executor Executor
	now      func() time.Time
	emit     func(Event)
	ended    chan *node
}

func newWalk(p *Plan, executor Executor, now func() time.Time, emit func(Event)) *walk {
	w := &walk{byID: map[string]*node{}, executor: executor, now: now, emit: emit, ended: make(chan *node)}
	for i, step := range p.Steps {
		n := &node{step: step, index: i}
		w.nodes = append(w.nodes, n)
		w.byID[step.ID] = n
	}
	for _, n := range w.nodes {
		for _, ids := range [][]string{n.step.Needs, n.step.After} {
			for _, id := range ids {
				if on := w.byID[id]; on != nil {
					on.unblock = append(on.unblock, n)
					n.waits++
				}
			}
		}
	}
	for i := len(w.nodes) - 1; i >= 0; i-- {
		for _, next := range w.nodes[i].unblock {
			w.nodes[i].weight = max(w.nodes[i].weight, next.weight+1)
		}
	}
	return w
}

func (w *walk) run(ctx context.Context, limit int) error {
	for _, n := range w.nodes {
		if n.waits == 0 {
			heap.Push(&w.ready, n)
		}
	}
	busy, running, left := 0, 0, len(w.nodes)
	for left > 0 {
		var held []*node
		for w.ready.Len() > 0 {
			n := heap.Pop(&w.ready).(*node)
			if done := w.void(ctx, n); done {
				left--
				w.tellDependents(n)
				continue
			}
			if n.step.Action != Await && busy >= limit {
				held = append(held, n)
				continue
			}
			if n.step.Action != Await {
				busy++
			}
			running++
			go w.carry(ctx, n)
		}
		for _, n := range held {
			heap.Push(&w.ready, n)
		}
		if running == 0 {
			if left > 0 {
				return fmt.Errorf("internal error: %d steps of the plan wait for each other", left)
			}
			break
		}
		n := <-w.ended
		running--
		left--
		if n.step.Action != Await {
			busy--
		}
		w.finish(ctx, n)
		w.tellDependents(n)
	}
	return w.causes(ctx)
}

// void ends a step without carrying it out: what it needs failed, or the walk
// was cancelled.
func (w *walk) void(ctx context.Context, n *node) bool {
	for _, id := range n.step.Needs {
		on := w.byID[id]
		if on == nil {
			continue
		}
		switch on.outcome {
		case Failed:
			n.failed = on
		case Skipped:
			n.failed = on.failed
		case Cancelled:
			n.outcome = Cancelled
		}
	}
	if n.failed == nil && w.weigh(n) {
		return true
	}
	if n.failed != nil {
		n.outcome = Skipped
		e := w.event(n, Skipped)
		e.Cause = n.failed.step.ID
		e.Text = "waits for " + n.failed.step.Resource
		w.emit(e)
		return true
	}
	if w.isVain(n) {
		return true
	}
	if n.outcome == Cancelled || ctx.Err() != nil {
		n.outcome = Cancelled
		w.emit(w.event(n, Cancelled))
		return true
	}
	if n.step.IfChanged && !n.eased && w.unchanged(n) {
		if n.step.Otherwise != "" {
			n.eased = true
			step := *n.step
			step.Action = step.Otherwise
			n.step = &step
			return false
		}
		n.outcome = Unchanged
		w.emit(w.event(n, Unchanged))
		return true
	}
	return false
}

// unchanged says that every step that n follows left things as they were: the
// one of its image or, for a restart, the replacements of what it depends on.
func (w *walk) unchanged(n *node) bool {
	followed := []Action{Build, Pull}
	if n.step.Action == Restart {
		followed = []Action{Create, Replace}
	}
	seen := 0
	for _, id := range slices.Concat(n.step.Needs, n.step.After) {
		on := w.byID[id]
		if on == nil || !on.eased && !slices.Contains(followed, on.step.Action) {
			continue
		}
		if on.outcome != Unchanged && !on.eased {
			return false
		}
		seen++
	}
	return seen > 0
}

func (w *walk) carry(ctx context.Context, n *node) {
	n.begun = w.now()
	w.emit(w.event(n, Started))
	n.result, n.err = w.executor.Execute(ctx, n.step, func(e Event) {
		e.Time, e.Step, e.Action, e.Resource, e.Service = w.now(), n.step.ID, n.step.Action, n.step.Resource, n.step.Service
		if e.Kind == "" {
			e.Kind = Progressed
		}
		w.emit(e)
	})
	w.ended <- n
}

// finish records how a carried step ended.
func (w *walk) finish(ctx context.Context, n *node) {
	n.outcome = Done
	if n.result.Outcome != "" {
		n.outcome = n.result.Outcome
	}
	text := n.result.Text
	var lines []string
	if n.err != nil {
		n.outcome, text = Failed, n.err.Error()
		if ctx.Err() != nil && (errors.Is(n.err, context.Canceled) || errors.Is(n.err, context.Cause(ctx))) {
			n.outcome, text = Cancelled, ""
		}
		var with interface{ Lines() []string }
		if errors.As(n.err, &with) {
			lines = with.Lines()
		}
	}
	if n.outcome == Done && n.step.Action == Rollback {
		text = n.step.outcome()
	}
	e := w.event(n, n.outcome)
	e.Took, e.Text, e.Lines = e.Time.Sub(n.begun), text, lines
	w.emit(e)
}

// tellDependents tells those that wait for n that it has ended.
func (w *walk) tellDependents(n *node) {
	for _, next := range n.unblock {
		if next.waits--; next.waits == 0 {
			heap.Push(&w.ready, next)
		}
	}
}

// causes joins the root causes. A walk that was cancelled and did all the same
// what it had to has none.
func (w *walk) causes(ctx context.Context) error {
	var errs []error
	cancelled := false
	for _, n := range w.nodes {
		cancelled = cancelled || n.outcome == Cancelled
		if n.outcome == Failed && !n.step.Optional {
			errs = append(errs, &StepError{Step: n.step, Err: n.err})
		}
	}
	errs = append(errs, w.rolledBack()...)
	if len(errs) == 0 && cancelled {
		return context.Cause(ctx)
	}
	return errors.Join(errs...)
}

func (w *walk) event(n *node, kind Outcome) Event {
	return Event{Time: w.now(), Step: n.step.ID, Action: n.step.Action, Resource: n.step.Resource, Service: n.step.Service, Kind: kind}
}

// ready is a heap of steps that may run: longest chain first, then plan order.
type ready []*node

func (r ready) Len() int { return len(r) }
func (r ready) Less(i, j int) bool {
	if r[i].weight != r[j].weight {
		return r[i].weight > r[j].weight
	}
	return r[i].index < r[j].index
}
func (r ready) Swap(i, j int) { r[i], r[j] = r[j], r[i] }
func (r *ready) Push(x any)   { *r = append(*r, x.(*node)) }
func (r *ready) Pop() any {
	old := *r
	n := old[len(old)-1]
	*r = old[:len(old)-1]
	return n
}
