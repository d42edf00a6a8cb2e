package walk_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orlop/orlop/planner/walk"
	"github.com/orlop/orlop/spec"

	. "github.com/orlop/orlop/planner"
)

// recorder is an executor whose steps end when the test says so.
type recorder struct {
	t     *testing.T
	begun chan *call

	mu    sync.Mutex
	ended map[string]bool // guarded by mu; IDs of steps that were carried and have ended
	order []string        // guarded by mu
}

// call is one step under way.
type call struct {
	ctx  context.Context
	step *Step
	end  chan error
	with Result
}

func newRecorder(t *testing.T) *recorder {
	return &recorder{t: t, begun: make(chan *call), ended: map[string]bool{}}
}

func (r *recorder) Execute(ctx context.Context, s *Step, note func(Event)) (Result, error) {
	c := &call{ctx: ctx, step: s, end: make(chan error)}
	note(Event{Text: "begins"})
	r.mu.Lock()
	r.order = append(r.order, s.ID)
	r.mu.Unlock()
	r.begun <- c
	err := <-c.end
	r.mu.Lock()
	r.ended[s.ID] = true
	r.mu.Unlock()
	return c.with, err
}

// events collects what a walk emits.
type events struct {
	mu   sync.Mutex
	list []Event // guarded by mu
}

func (e *events) add(ev Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, ev)
}

// outcomes is how each step ended, which it must have exactly once.
func (e *events) outcomes(t *testing.T) map[string]Event {
	t.Helper()
	out := map[string]Event{}
	for _, ev := range e.list {
		if ev.Kind == Started || ev.Kind == Progressed || ev.Kind == Warned {
			if _, over := out[ev.Step]; over {
				t.Errorf("%s goes on after its end", ev.Step)
			}
			continue
		}
		if was, ok := out[ev.Step]; ok {
			t.Errorf("%s ended twice: %s, %s", ev.Step, was.Kind, ev.Kind)
		}
		out[ev.Step] = ev
	}
	return out
}

// graphPlan makes a plan from lines "b <- a, c" and "b <~ a".
func graphPlan(lines ...string) *Plan {
	p := &Plan{Project: "g"}
	for _, line := range lines {
		s := &Step{Action: Create}
		id, needs, _ := strings.Cut(line, " <- ")
		id, after, _ := strings.Cut(id, " <~ ")
		if name, ok := strings.CutPrefix(id, "await "); ok {
			s.Action, id = Await, name
		}
		s.Resource = id
		add(p, s)
		s.ID = id
		for _, n := range strings.Split(needs, ", ") {
			if n != "" {
				s.Needs = append(s.Needs, n)
			}
		}
		for _, n := range strings.Split(after, ", ") {
			if n != "" {
				s.After = append(s.After, n)
			}
		}
	}
	return p
}

func clock() func() time.Time {
	var mu sync.Mutex
	at := time.Unix(0, 0)
	return func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		at = at.Add(time.Millisecond)
		return at
	}
}

// start begins a walk; its error comes on the channel.
func start(ctx context.Context, p *Plan, c Executor, limit int, ev *events) <-chan error {
	done := make(chan error, 1)
	go func() { done <- walk.Plan(ctx, p, c, limit, clock(), ev.add) }()
	return done
}

// add adds a step to a plan.
func add(p *Plan, s *Step) *Step {
	s.ID = string(s.Action) + " " + s.Resource
	p.Steps = append(p.Steps, s)
	return s
}

// random makes plans.
type random struct{ *rand.Rand }

func (r random) chance(n int) bool { return r.IntN(n) == 0 }

func pick[T any](r random, list ...T) T { return list[r.IntN(len(list))] }

func eachSeed(t *testing.T, n uint64, do func(t *testing.T, r random)) {
	for seed := range n {
		ok := t.Run(fmt.Sprint(seed), func(t *testing.T) { do(t, random{rand.New(rand.NewPCG(seed, 7))}) })
		if !ok {
			t.Fatalf("seed %d", seed)
		}
	}
}

// randomPlan is an acyclic graph of up to 30 steps.
func randomPlan(r random) *Plan {
	p := &Plan{Project: "g"}
	for i := range 1 + r.IntN(30) {
		s := &Step{Action: pick(r, Create, Build, Replace, Await), Resource: fmt.Sprint(i)}
		for range r.IntN(min(i+1, 4)) {
			id := p.Steps[r.IntN(i)].ID
			if r.chance(4) {
				s.After = append(s.After, id)
			} else {
				s.Needs = append(s.Needs, id)
			}
		}
		add(p, s)
	}
	return p
}

// TestWalk drives random plans with steps that end in random order, some of
// them badly, and cancels some walks half-way.
func TestWalk(t *testing.T) {
	eachSeed(t, 500, func(t *testing.T, r random) {
		p := randomPlan(r)
		limit := 1 + r.IntN(4)
		cancelAfter := -1
		if r.chance(4) {
			cancelAfter = r.IntN(len(p.Steps))
		}
		ctx, cancel := context.WithCancelCause(context.Background())
		defer cancel(nil)
		cause := errors.New("stopped by the user")
		rec, ev := newRecorder(t), &events{}
		engines := limit
		if r.IntN(2) == 0 { // the caller allows less than the engine
			p.Limit, engines = limit, limit+3
		}
		done := start(ctx, p, rec, engines, ev)
		failed := map[string]bool{}
		var open []*call
		carried := 0
		for {
			// A step that is ready comes by itself; when none may come, one of those under way ends.
			var err error
			over := false
			if len(open) == 0 {
				select {
				case c := <-rec.begun:
					open = append(open, rec.check(c, open, limit, failed))
					carried++
				case err = <-done:
					over = true
				}
			} else {
				i := r.IntN(len(open))
				c := open[i]
				var end error
				if r.chance(5) {
					end = fmt.Errorf("%s broke", c.step.ID)
				}
				if carried > cancelAfter && cancelAfter >= 0 {
					cancel(cause)
				}
				select {
				case next := <-rec.begun:
					open = append(open, rec.check(next, open, limit, failed))
					carried++
				case c.end <- end:
					open = slices.Delete(open, i, i+1)
					failed[c.step.ID] = end != nil
				}
			}
			if over {
				verify(t, p, ev, failed, err, ctx.Err() != nil, cause)
				return
			}
		}
	})
}

// check holds at the moment that a step begins: all it needs has succeeded,
// all it follows has ended, and the limit holds.
func (r *recorder) check(c *call, open []*call, limit int, failed map[string]bool) *call {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range c.step.Needs {
		if !r.ended[id] || failed[id] {
			r.t.Errorf("%s began although %s has not succeeded", c.step.ID, id)
		}
	}
	for _, o := range open {
		if slices.Contains(c.step.Needs, o.step.ID) || slices.Contains(c.step.After, o.step.ID) {
			r.t.Errorf("%s began while %s runs", c.step.ID, o.step.ID)
		}
	}
	busy := 0
	for _, o := range append([]*call{c}, open...) {
		if o.step.Action != Await && !r.ended[o.step.ID] {
			busy++
		}
	}
	if busy > limit {
		r.t.Errorf("%d steps at once, %d are allowed", busy, limit)
	}
	return c
}

// verify holds at the end: each step has one outcome, the right one.
func verify(t *testing.T, p *Plan, ev *events, failed map[string]bool, err error, cancelled bool, cause error) {
	t.Helper()
	out := ev.outcomes(t)
	causes, stopped := 0, false
	for _, s := range p.Steps {
		got, ok := out[s.ID]
		if !ok {
			t.Errorf("%s has no outcome", s.ID)
			continue
		}
		blocked := slices.ContainsFunc(s.Needs, func(id string) bool { return out[id].Kind == Failed || out[id].Kind == Skipped })
		switch got.Kind {
		case Failed:
			causes++
			if !failed[s.ID] || blocked {
				t.Errorf("%s is reported as failed", s.ID)
			}
			if !strings.Contains(fmt.Sprint(err), s.ID+" broke") {
				t.Errorf("the error does not name %s: %v", s.ID, err)
			}
		case Skipped:
			if !blocked {
				t.Errorf("%s is skipped for nothing", s.ID)
			}
			if out[got.Cause].Kind != Failed {
				t.Errorf("%s is skipped for %q, which is no root cause", s.ID, got.Cause)
			}
		case Cancelled:
			stopped = true
			if !cancelled {
				t.Errorf("%s is cancelled for nothing", s.ID)
			}
		case Done:
			if failed[s.ID] || blocked {
				t.Errorf("%s is done", s.ID)
			}
		default:
			t.Errorf("%s: %s", s.ID, got.Kind)
		}
	}
	var joined interface{ Unwrap() []error }
	switch {
	case causes > 0:
		if !errors.As(err, &joined) || len(joined.Unwrap()) != causes {
			t.Errorf("%d root causes, but the error is %v", causes, err)
		}
	case stopped:
		if !errors.Is(err, cause) {
			t.Errorf("a stopped walk says %v", err)
		}
	case err != nil:
		t.Errorf("all is done, but the walk says %v", err)
	}
}

// finish ends the next step that begins.
func (r *recorder) finish(want string, with Result, err error) {
	r.t.Helper()
	c := <-r.begun
	if c.step.ID != want {
		r.t.Errorf("%s begins, want %s", c.step.ID, want)
	}
	c.with = with
	c.end <- err
}

func TestLongestChainFirst(t *testing.T) {
	p := graphPlan("leaf", "root", "mid <- root", "top <- mid")
	rec, ev := newRecorder(t), &events{}
	done := start(context.Background(), p, rec, 1, ev)
	for _, id := range []string{"root", "mid", "leaf", "top"} {
		rec.finish(id, Result{}, nil)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestAwaitsTakeNoPlace(t *testing.T) {
	p := graphPlan("await w1", "await w2", "a")
	rec, ev := newRecorder(t), &events{}
	done := start(context.Background(), p, rec, 1, ev)
	calls := []*call{<-rec.begun, <-rec.begun, <-rec.begun}
	for _, c := range calls {
		c.end <- nil
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestUnchangedImageLeavesWhatCanBeDoneInPlace(t *testing.T) {
	p := &Plan{}
	build := add(p, &Step{Action: Build, Resource: "web"})
	replace := add(p, &Step{Action: Replace, Resource: "web/1", Needs: []string{build.ID}, IfChanged: true, Otherwise: Update})
	add(p, &Step{Action: Restart, Resource: "app/1", Needs: []string{replace.ID}, IfChanged: true})
	for _, same := range []bool{true, false} {
		rec, ev := newRecorder(t), &events{}
		done := start(context.Background(), p, rec, 2, ev)
		built, want, after := Result{}, Replace, Done
		if same {
			built.Outcome, want, after = Unchanged, Update, Unchanged
		}
		rec.finish("build web", built, nil)
		rec.finish("replace web/1", Result{}, nil)
		if !same {
			rec.finish("restart app/1", Result{}, nil)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		out := ev.outcomes(t)
		if got := out["replace web/1"]; got.Action != want || got.Kind != Done {
			t.Errorf("build unchanged %v: %s of web/1 is %s, want %s", same, got.Action, got.Kind, want)
		}
		if got := out["restart app/1"].Kind; got != after {
			t.Errorf("build unchanged %v: the restart of app/1 is %s, want %s", same, got, after)
		}
	}
	if replace.Action != Replace {
		t.Error("the walk changed the plan")
	}
}

func TestUnchangedImageReplacesNothing(t *testing.T) {
	p := &Plan{}
	build := add(p, &Step{Action: Build, Resource: "web"})
	replace := add(p, &Step{Action: Replace, Resource: "web/1", Needs: []string{build.ID}, IfChanged: true})
	restart := add(p, &Step{Action: Restart, Resource: "app/1", Needs: []string{replace.ID}, IfChanged: true})
	add(p, &Step{Action: Create, Resource: "new/1", Needs: []string{restart.ID}})
	for _, same := range []bool{true, false} {
		rec, ev := newRecorder(t), &events{}
		done := start(context.Background(), p, rec, 2, ev)
		if same {
			rec.finish("build web", Result{Outcome: Unchanged}, nil)
		} else {
			rec.finish("build web", Result{}, nil)
			rec.finish("replace web/1", Result{}, nil)
			rec.finish("restart app/1", Result{}, nil)
		}
		rec.finish("create new/1", Result{Text: "fine"}, nil)
		if err := <-done; err != nil {
			t.Error(err)
		}
		out := ev.outcomes(t)
		if got := out["replace web/1"].Kind == Unchanged; got != same {
			t.Errorf("build unchanged %v, but web/1 is %s", same, out["replace web/1"].Kind)
		}
		if got := out["restart app/1"].Kind == Unchanged; got != same {
			t.Errorf("build unchanged %v, but app/1 is %s", same, out["restart app/1"].Kind)
		}
		if e := out["create new/1"]; e.Text != "fine" || e.Took <= 0 {
			t.Errorf("the outcome is %+v", e)
		}
	}
}

// TestWhoComesBackToANetworkIsNotChangedByThat: that decides nothing about what only its image
// may replace, which stays where it was brought back before.
func TestWhoComesBackToANetworkIsNotChangedByThat(t *testing.T) {
	p := &Plan{}
	pull := add(p, &Step{Action: Pull, Resource: "a"})
	made := add(p, &Step{Action: CreateNetwork, Resource: "back"})
	attach := add(p, &Step{Action: AttachNetwork, Resource: "db/1", Needs: []string{made.ID}})
	add(p, &Step{Action: Replace, Resource: "db/1", Needs: []string{pull.ID, made.ID, attach.ID}, IfChanged: true})
	rec, ev := newRecorder(t), &events{}
	done := start(context.Background(), p, rec, 1, ev)
	rec.finish("create-network back", Result{}, nil) // on which the longest chain hangs
	rec.finish("pull a", Result{Outcome: Unchanged}, nil)
	rec.finish("attach-network db/1", Result{}, nil)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := ev.outcomes(t)["replace db/1"].Kind; got != Unchanged {
		t.Errorf("its replacement is %s", got)
	}
}

type wordy struct{ error }

func (wordy) Lines() []string { return []string{"line 1", "line 2"} }

func TestFailureTellsItsOutputAndItsPlace(t *testing.T) {
	p := graphPlan("db", "await healthy <- db", "web <- healthy", "log")
	p.Steps[0].Service, p.Steps[0].Resource = "db", "db/1"
	rec, ev := newRecorder(t), &events{}
	done := start(context.Background(), p, rec, 1, ev)
	rec.finish("db", Result{}, fmt.Errorf("start: %w", wordy{errors.New("exit code 1")}))
	rec.finish("log", Result{}, nil)
	err := <-done
	var step *StepError
	if !errors.As(err, &step) || step.Step.Service != "db" || err.Error() != "db/1: start: exit code 1" {
		t.Errorf("the error is %v", err)
	}
	out := ev.outcomes(t)
	if e := out["db"]; !slices.Equal(e.Lines, []string{"line 1", "line 2"}) || e.Text != "start: exit code 1" {
		t.Errorf("the failure is %+v", e)
	}
	if e := out["web"]; e.Kind != Skipped || e.Cause != "db" || e.Text != "waits for db/1" {
		t.Errorf("web is %+v", e)
	}
}

// TestWhatWaitsInVainIsMadeAndNotStarted: a container is made though what it waits for has failed, unless what it is made of has, or what it
// shares; nothing is said of it but that it is skipped.
func TestWhatWaitsInVainIsMadeAndNotStarted(t *testing.T) {
	for name, c := range map[string]struct {
		failed Step
		shares string
		made   bool
	}{
		"a dependency that is not healthy":   {Step{Action: Await, Service: "db"}, "", true},
		"its pre_start":                      {Step{Action: Init, Service: "web"}, "", true},
		"the container that it starts after": {Step{Action: Create, Service: "db"}, "", true},
		"the container whose network it has": {Step{Action: Create, Service: "db"}, "service:db", false},
		"its image":                          {Step{Action: Build, Service: "web"}, "", false},
		"its volume":                         {Step{Action: CreateVolume}, "", false},
		"the batch before it":                {Step{Action: Await, Service: "web", Batch: &Batch{}}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			p := &Plan{Project: "g"}
			c.failed.Resource = "first"
			var replaced *Step
			if c.failed.Batch != nil {
				replaced = add(p, &Step{Action: Replace, Resource: "web/2", Service: "web", Number: 2})
				c.failed.After = []string{replaced.ID}
			}
			first := add(p, &c.failed)
			web := add(p, &Step{Action: Create, Resource: "web/1", Service: "web", Needs: []string{first.ID}, Applied: &Applied{Service: &spec.Service{NetworkMode: c.shares}}})
			last := add(p, &Step{Action: Create, Resource: "last/1", Service: "last", Needs: []string{web.ID}})
			rec, ev := newRecorder(t), &events{}
			done := start(context.Background(), p, rec, 1, ev)
			if replaced != nil {
				rec.finish(replaced.ID, Result{}, nil)
			}
			rec.finish(first.ID, Result{}, errors.New("it fails"))
			if c.made {
				begun := <-rec.begun
				if begun.step.ID != web.ID || !begun.step.NoStart {
					t.Errorf("%s begins, not started: %t", begun.step.ID, begun.step.NoStart)
				}
				begun.end <- errors.New("which is no cause")
			}
			if err := <-done; err == nil || strings.Contains(err.Error(), "no cause") {
				t.Errorf("the walk says %v", err)
			}
			for id, e := range ev.outcomes(t) {
				if id != first.ID && (replaced == nil || id != replaced.ID) && (e.Kind != Skipped || e.Cause != first.ID || e.Text != "waits for first") {
					t.Errorf("%s: %+v", id, e)
				}
			}
			for _, e := range ev.list {
				isTold := e.Kind == Skipped || e.Kind == Warned && e.Text == "it could not be created either: which is no cause"
				if e.Step == web.ID && !isTold {
					t.Errorf("of %s is told %s %q", web.ID, e.Kind, e.Text)
				}
			}
			if web.NoStart || last.NoStart {
				t.Error("the plan is another now")
			}
		})
	}
}

// TestNothingIsMadeWhereAnImageHasFailed, that of what a container starts after neither, whatever else has failed.
func TestNothingIsMadeWhereAnImageHasFailed(t *testing.T) {
	for _, names := range [][2]string{{"a", "b"}, {"b", "a"}} {
		p := &Plan{Project: "g"}
		container := func(name string, needs ...string) *Step {
			return add(p, &Step{Action: Create, Resource: name + "/1", Service: name, Needs: needs, Applied: &Applied{Service: &spec.Service{}}})
		}
		image := add(p, &Step{Action: Build, Resource: names[0], Service: names[0]})
		built, other := container(names[0], image.ID), container(names[1])
		needs := []string{built.ID, other.ID}
		slices.Sort(needs)
		container("web", needs...)
		rec, ev := newRecorder(t), &events{}
		done := start(context.Background(), p, rec, 1, ev)
		rec.finish(image.ID, Result{}, errors.New("it fails"))
		rec.finish(other.ID, Result{}, errors.New("it fails, too"))
		select {
		case begun := <-rec.begun:
			t.Fatalf("%s begins", begun.step.ID)
		case err := <-done:
			if err == nil {
				t.Error("the walk succeeds")
			}
		}
	}
}

// TestWhatWaitsInVainIsMadeInItsTurn: where no more may be done at once, it waits, and is made all the same.
func TestWhatWaitsInVainIsMadeInItsTurn(t *testing.T) {
	p := &Plan{Project: "g"}
	await := add(p, &Step{Action: Await, Resource: "db healthy", Service: "db"})
	other := add(p, &Step{Action: Build, Resource: "other", Service: "other"})
	web := add(p, &Step{Action: Create, Resource: "web/1", Service: "web", Needs: []string{await.ID}, Applied: &Applied{Service: &spec.Service{}}})
	rec, ev := newRecorder(t), &events{}
	done, failed := make(chan error, 1), make(chan struct{})
	go func() {
		done <- walk.Plan(context.Background(), p, rec, 1, clock(), func(e Event) {
			ev.add(e)
			if e.Kind == Failed {
				close(failed)
			}
		})
	}()
	calls := map[string]*call{}
	for range 2 {
		c := <-rec.begun
		calls[c.step.ID] = c
	}
	calls[await.ID].end <- errors.New("unhealthy")
	<-failed
	calls[other.ID].end <- nil
	rec.finish(web.ID, Result{}, nil)
	if err := <-done; err == nil {
		t.Error("the walk succeeds")
	}
	if kind := ev.outcomes(t)[web.ID].Kind; kind != Skipped {
		t.Errorf("web is %s", kind)
	}
}

func TestOptionalAwaitFailsNothing(t *testing.T) {
	p := graphPlan("await cache", "web <~ cache")
	p.Steps[0].Optional = true
	rec, ev := newRecorder(t), &events{}
	done := start(context.Background(), p, rec, 1, ev)
	rec.finish("cache", Result{}, errors.New("unhealthy"))
	rec.finish("web", Result{}, nil)
	if err := <-done; err != nil {
		t.Errorf("the walk says %v", err)
	}
}

func TestCancelledTooLate(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	p := graphPlan("a")
	rec, ev := newRecorder(t), &events{}
	done := start(ctx, p, rec, 1, ev)
	c := <-rec.begun
	cancel()
	c.end <- nil
	if err := <-done; err != nil {
		t.Errorf("all was done, but the walk says %v", err)
	}
	if kind := ev.outcomes(t)["a"].Kind; kind != Done {
		t.Errorf("the step is %s", kind)
	}
}

// TestCauseOfCancellationIsNoFailure: an executor that gives up hands the
// cause back; that is no step that failed.
func TestCauseOfCancellationIsNoFailure(t *testing.T) {
	cause := errors.New("second Ctrl-C")
	ctx, cancel := context.WithCancelCause(context.Background())
	p := graphPlan("a", "b <- a")
	rec, ev := newRecorder(t), &events{}
	done := start(ctx, p, rec, 1, ev)
	c := <-rec.begun
	cancel(cause)
	c.end <- fmt.Errorf("build: %w", context.Cause(c.ctx))
	if err := <-done; !errors.Is(err, cause) {
		t.Errorf("the walk says %v", err)
	}
	out := ev.outcomes(t)
	if out["a"].Kind != Cancelled || out["b"].Kind != Cancelled {
		t.Errorf("outcomes: %+v", out)
	}
}

func TestCircleIsAnError(t *testing.T) {
	p := graphPlan("a <- b", "b <- a", "c")
	rec, ev := newRecorder(t), &events{}
	done := start(context.Background(), p, rec, 1, ev)
	rec.finish("c", Result{}, nil)
	if err := <-done; err == nil || !strings.Contains(err.Error(), "internal error") {
		t.Errorf("the walk says %v", err)
	}
}

// instant carries everything at once.
type instant struct{}

func (instant) Execute(context.Context, *Step, func(Event)) (Result, error) { return Result{}, nil }

func BenchmarkWalk(b *testing.B) {
	p := randomPlan(random{rand.New(rand.NewPCG(1, 1))})
	for b.Loop() {
		if err := walk.Plan(context.Background(), p, instant{}, 4, time.Now, func(Event) {}); err != nil {
			b.Fatal(err)
		}
	}
}
