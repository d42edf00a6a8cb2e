// Package walk carries a plan out: each step as soon as what it needs has succeeded. It
// decides nothing but what the steps themselves say, and does nothing of them: an executor does.
package walk

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/orlop/orlop/planner"
)

// Plan carries out a plan: each step as soon as what it needs has succeeded,
// at most limit of them at once (waiting ones are not counted), or as many as
// the plan's caller allows. What a failed step stopped is skipped, the rest
// goes on. The error joins a *planner.StepError for each root cause. now is the clock
// of the events.
func Plan(ctx context.Context, p *planner.Plan, executor planner.Executor, limit int, now func() time.Time, emit func(planner.Event)) error {
	w := newWalk(p, executor, now, emit)
	if p.Limit > 0 {
		limit = min(limit, p.Limit)
	}
	return w.run(ctx, max(limit, 1))
}

type node struct {
	step    *planner.Step
	waits   int     // needs and afters that have not ended
	unblock []*node // steps that wait for this one
	weight  int     // length of the longest chain that hangs on it
	index   int     // position in the plan
	begun   time.Time
	failed  *node // the root cause that this one is skipped for
	made    bool  // of a skipped one: its container is made all the same
	eased   bool  // what it follows turned out unchanged: another action does
	outcome planner.Outcome
	result  planner.Result
	err     error
}

type walk struct {
	nodes    []*node
	byID     map[string]*node
	ready    ready
	executor planner.Executor
	now      func() time.Time
	emit     func(planner.Event)
	ended    chan *node
}

func newWalk(p *planner.Plan, executor planner.Executor, now func() time.Time, emit func(planner.Event)) *walk {
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
			if n.step.Action != planner.Await && busy >= limit {
				held = append(held, n)
				continue
			}
			if n.step.Action != planner.Await {
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
		if n.step.Action != planner.Await {
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
		case planner.Failed:
			n.failed = on
		case planner.Skipped:
			n.failed = on.failed
		case planner.Cancelled:
			n.outcome = planner.Cancelled
		}
	}
	if n.failed == nil && w.weigh(n) {
		return true
	}
	if n.failed != nil {
		n.outcome = planner.Skipped
		n.made = ctx.Err() == nil && (n.made || w.canMake(n)) // it may have waited for its turn
		if n.made {
			step := *n.step
			step.NoStart = true
			n.step = &step
			return false
		}
		w.skip(n)
		return true
	}
	if w.isVain(n) {
		return true
	}
	if n.outcome == planner.Cancelled || ctx.Err() != nil {
		n.outcome = planner.Cancelled
		w.emit(w.event(n, planner.Cancelled))
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
		n.outcome = planner.Unchanged
		w.emit(w.event(n, planner.Unchanged))
		return true
	}
	return false
}

// skip tells of a step that was not carried out, and why.
func (w *walk) skip(n *node) {
	e := w.event(n, planner.Skipped)
	e.Cause = n.failed.step.ID
	e.Text = "waits for " + n.failed.step.Resource
	w.emit(e)
}

// canMake says that the container of a step which is skipped can be made, without being started: what it is made of and what it
// shares is there, and only what comes before its start has failed. Who looks afterwards finds it as Compose leaves it, and can start
// it by hand.
func (w *walk) canMake(n *node) bool {
	s := n.step
	if s.Action != planner.Create || s.NoStart || s.Applied == nil || s.Applied.Service == nil {
		return false
	}
	starting := []planner.Action{planner.Create, planner.Replace, planner.Start, planner.Restart, planner.Update, planner.Unpause}
	awaiting := []planner.Action{planner.Await, planner.Init}
	shared := append(planner.SharedWith(s.Applied.Service), s.Service)
	for _, id := range s.Needs {
		on := w.byID[id]
		if on == nil || on.outcome == planner.Done || on.outcome == planner.Unchanged || on.made && on.err == nil {
			continue
		}
		root := on.step
		if on.failed != nil {
			root = on.failed.step
		}
		isAwaited, isContainer := slices.Contains(awaiting, on.step.Action), slices.Contains(starting, on.step.Action)
		switch {
		case root.Batch != nil: // an update that has failed goes no further
			return false
		case !slices.Contains(starting, root.Action) && !slices.Contains(awaiting, root.Action): // where an image has failed, nothing is made with Compose
			return false
		case isAwaited:
		case !isContainer || on.failed != nil || slices.Contains(shared, on.step.Service): // what it stands on is not there
			return false
		}
	}
	return true
}

// unchanged says that every step that n follows left things as they were: the
// one of its image or, for a restart, the replacements of what it depends on.
func (w *walk) unchanged(n *node) bool {
	followed := []planner.Action{planner.Build, planner.Pull}
	if n.step.Action == planner.Restart {
		followed = []planner.Action{planner.Create, planner.Replace}
	}
	seen := 0
	for _, id := range slices.Concat(n.step.Needs, n.step.After) {
		on := w.byID[id]
		if on == nil || !on.eased && !slices.Contains(followed, on.step.Action) {
			continue
		}
		if on.outcome != planner.Unchanged && !on.eased {
			return false
		}
		seen++
	}
	return seen > 0
}

func (w *walk) carry(ctx context.Context, n *node) {
	n.begun = w.now()
	if !n.made {
		w.emit(w.event(n, planner.Started))
	}
	n.result, n.err = w.executor.Execute(ctx, n.step, func(e planner.Event) {
		if n.made && e.Kind != planner.Warned {
			return
		}
		e.Time, e.Step, e.Action, e.Resource, e.Service = w.now(), n.step.ID, n.step.Action, n.step.Resource, n.step.Service
		if e.Kind == "" {
			e.Kind = planner.Progressed
		}
		w.emit(e)
	})
	w.ended <- n
}

// finish records how a carried step ended.
func (w *walk) finish(ctx context.Context, n *node) {
	if n.made {
		e := w.event(n, planner.Progressed)
		e.Text = "created, and not started"
		if n.err != nil { // as an error it would only hide why the step was skipped
			e.Kind, e.Text = planner.Warned, "it could not be created either: "+n.err.Error()
		}
		w.emit(e)
		w.skip(n)
		return
	}
	n.outcome = planner.Done
	if n.result.Outcome != "" {
		n.outcome = n.result.Outcome
	}
	text := n.result.Text
	var lines []string
	if n.err != nil {
		n.outcome, text = planner.Failed, n.err.Error()
		if ctx.Err() != nil && (errors.Is(n.err, context.Canceled) || errors.Is(n.err, context.Cause(ctx))) {
			n.outcome, text = planner.Cancelled, ""
		}
		var with interface{ Lines() []string }
		if errors.As(n.err, &with) {
			lines = with.Lines()
		}
	}
	if n.outcome == planner.Done && n.step.Action == planner.Rollback {
		text = taken(n.step)
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
		cancelled = cancelled || n.outcome == planner.Cancelled
		if n.outcome == planner.Failed && !n.step.Optional {
			errs = append(errs, &planner.StepError{Step: n.step, Err: n.err})
		}
	}
	errs = append(errs, w.rolledBack()...)
	if len(errs) == 0 && cancelled {
		return context.Cause(ctx)
	}
	return errors.Join(errs...)
}

func (w *walk) event(n *node, kind planner.Outcome) planner.Event {
	return planner.Event{Time: w.now(), Step: n.step.ID, Action: n.step.Action, Resource: n.step.Resource, Service: n.step.Service, Kind: kind}
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

// weigh looks at what became of the replacements before the rest follows: it says whether
// the step is over with that.
func (w *walk) weigh(n *node) bool {
	if n.step.Batch == nil {
		return false
	}
	b := *n.step.Batch
	b.Numbers = slices.Clone(b.Numbers)
	changed := false
	var root *node
	for _, id := range n.step.After {
		on := w.byID[id]
		switch {
		case on.outcome == planner.Unchanged: // what it is says nothing about the update
			b.Numbers = slices.DeleteFunc(b.Numbers, func(number int) bool { return number == on.step.Number })
		case on.outcome == planner.Failed:
			b.Failed++
			root = on
		case on.outcome == planner.Skipped:
			b.Failed++
			root = on.failed
		}
		changed = changed || on.outcome != planner.Unchanged && !on.eased
	}
	if b.IsTooMany(b.Failed) {
		n.failed = root
		return false
	}
	step := *n.step
	step.Batch = &b
	n.step = &step
	if !changed {
		n.outcome = planner.Unchanged
		w.emit(w.event(n, planner.Unchanged))
	}
	return !changed
}

// isVain says that a step is of a rollback for which there is no need, and ends it then: the update has not
// failed, or not come as far as what the step undoes.
func (w *walk) isVain(n *node) bool {
	if n.step.Action != planner.Rollback {
		return false
	}
	hasFailed := slices.ContainsFunc(n.step.IfFailed, func(id string) bool {
		on := w.byID[id]
		return on != nil && (on.outcome == planner.Failed || on.outcome == planner.Skipped)
	})
	undone := w.byID[n.step.Undoes]
	if hasFailed && undone != nil && undone.outcome == planner.Done {
		if n.step.Applied != nil {
			step := *n.step
			applied := *step.Applied
			applied.RolledBack = w.now()
			step.Applied = &applied
			n.step = &step
		}
		return false
	}
	n.outcome = planner.Unchanged
	w.emit(w.event(n, planner.Unchanged))
	return true
}

// rolledBack says of each service whose update was taken back what it is again, and how far
// that is so.
func (w *walk) rolledBack() (errs []error) {
	all := map[string][]*node{}
	var names []string
	for _, n := range w.nodes {
		if n.step.Action == planner.Rollback && n.outcome != planner.Unchanged {
			if all[n.step.Service] == nil {
				names = append(names, n.step.Service)
			}
			all[n.step.Service] = append(all[n.step.Service], n)
		}
	}
	for _, name := range names {
		of := all[name]
		done := slices.DeleteFunc(slices.Clone(of), func(n *node) bool { return n.outcome != planner.Done })
		text := "rolled back"
		if of[0].step.Applied != nil { // no replica that came with the update
			text += " to " + of[0].step.Target()
		}
		if len(done) < len(of) {
			text = fmt.Sprintf("not wholly %s: %d of %d are", text, len(done), len(of))
		}
		errs = append(errs, &planner.StepError{Step: &planner.Step{Resource: name, Service: name}, Err: errors.New(text)})
	}
	return errs
}

// taken says in a few words what a Rollback has led to.
func taken(s *planner.Step) string {
	if s.Applied == nil {
		return "removed again"
	}
	return "back to " + s.Target()
}
