package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// projectLocks let one command at a time change a project. Each key has a line
// of claims: the first one holds the lock, the others wait. What ends things
// does not stay behind what starts them: it cancels those claims.
type projectLocks struct {
	now func() time.Time

	mu    sync.Mutex
	lines map[string]*line // guarded by mu
}

// line is who holds a lock and who waits for it, in the order of their coming.
type line struct {
	claims  []*claim
	changed chan struct{} // closed when somebody leaves
}

// claim is one command that changes a project, or waits until it may.
type claim struct {
	verb    string // what it was called with: up, stop
	project string
	pid     int  // of the command; 0: not known
	starts  bool // it brings things up: a claim that ends things cancels it
	ends    bool // it ends what runs: it cancels claims that start things
	since   time.Time
	cancel  context.CancelCauseFunc
	waits   []wait // guarded by the locks' mu: for what the holder waits, the longest first
}

// wait is a step that may take as long as it likes.
type wait struct{ step, text string }

// endedError is the cause of what another command has ended.
type endedError struct{ by string }

func (e *endedError) Error() string { return "ended by " + e.by }

func newProjectLocks(now func() time.Time) *projectLocks {
	return &projectLocks{now: now, lines: map[string]*line{}}
}

// String is the claim as another command names it.
func (c *claim) String() string {
	return c.verb + " of " + c.project + c.process()
}

func (c *claim) process() string {
	if c.pid == 0 {
		return ""
	}
	return fmt.Sprintf(" (process %d)", c.pid)
}

// isEndedBy says that the claim goes when the other one comes. A restart leaves
// alone what its own process does: watch restarts one service while it replaces
// another.
func (c *claim) isEndedBy(other *claim) bool {
	own := c.pid != 0 && c.pid == other.pid && other.starts
	return c.starts && other.ends && !own
}

// take waits for the lock. say is told whom it waits for and what it ends. The
// context that comes back ends with ctx, and with a cause when another claim
// ends this one; release gives the lock back.
func (l *projectLocks) take(ctx context.Context, key string, c *claim, say func(notice string)) (context.Context, func(), error) {
	ctx, c.cancel = context.WithCancelCause(ctx)
	for _, notice := range l.join(key, c) {
		say(notice)
	}
	release := func() { l.leave(key, c); c.cancel(nil) }
	var told *claim
	for {
		first, changed := l.first(key)
		if ctx.Err() != nil { // whoever asked is gone: nothing may come to be for it
			err := context.Cause(ctx)
			release()
			return nil, nil, err
		}
		if first == c {
			return ctx, release, nil
		}
		if first != told && !first.isEndedBy(c) && (first.pid == 0 || first.pid != c.pid) {
			told = first
			say(l.waitingFor(first))
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// end cancels what the claim ends, without a place in the line. It says whom.
func (l *projectLocks) end(key string, c *claim) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines[key].end(c)
}

func (l *projectLocks) join(key string, c *claim) (notices []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	in := l.lines[key]
	if in == nil {
		in = &line{changed: make(chan struct{})}
		l.lines[key] = in
	}
	c.since = l.now()
	notices = in.end(c)
	in.claims = append(in.claims, c)
	return notices
}

// end cancels those of the line that the claim ends; of the one that holds the
// lock it says so.
func (in *line) end(by *claim) (notices []string) {
	if in == nil {
		return nil
	}
	for i, c := range in.claims {
		if !c.isEndedBy(by) {
			continue
		}
		c.cancel(&endedError{by: by.String()})
		if i == 0 && (c.pid == 0 || c.pid != by.pid) {
			notices = append(notices, "ending: "+c.String()+c.waitedFor())
		}
	}
	return notices
}

func (c *claim) waitedFor() string {
	if len(c.waits) == 0 {
		return ""
	}
	return ", which " + c.waits[0].text
}

func (l *projectLocks) waitingFor(c *claim) string {
	return fmt.Sprintf("waiting for: %s of %s, since %s%s", c.verb, c.project, age(l.now().Sub(c.since)), c.process())
}

// age is a span of time in the unit that reads best.
func age(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	}
	return fmt.Sprintf("%d min", int(d.Minutes()))
}

// first is who holds the lock, and what is closed when the line changes.
func (l *projectLocks) first(key string) (*claim, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	in := l.lines[key]
	return in.claims[0], in.changed
}

func (l *projectLocks) leave(key string, c *claim) {
	l.mu.Lock()
	defer l.mu.Unlock()
	in := l.lines[key]
	in.claims = slices.DeleteFunc(in.claims, func(other *claim) bool { return other == c })
	close(in.changed)
	in.changed = make(chan struct{})
	if len(in.claims) == 0 {
		delete(l.lines, key)
	}
}

// note keeps for what the walk of a claim waits.
func (l *projectLocks) note(c *claim, plan *planner.Plan, e planner.Event) {
	step := plan.Step(e.Step)
	if step == nil || e.Kind == planner.Progressed {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.Kind != planner.Started {
		c.waits = slices.DeleteFunc(c.waits, func(w wait) bool { return w.step == e.Step })
	} else if text := waitText(step); text != "" {
		c.waits = append(c.waits, wait{step: e.Step, text: text})
	}
}

// waitText is what a step was at that may take as long as it likes, as another
// command tells of it; "" of the others.
func waitText(s *planner.Step) string {
	switch s.Action {
	case planner.Build:
		return "built " + s.Resource
	case planner.Pull:
		return "pulled " + s.Resource
	case planner.Init:
		return "waited for " + s.Resource
	case planner.Await:
		to := map[string]string{spec.ServiceHealthy: "be healthy", spec.ServiceCompleted: "complete"}[s.Condition]
		if to == "" {
			to = "be ready"
		}
		return strings.Join([]string{"waited for", s.Service, "to", to}, " ")
	}
	return ""
}
