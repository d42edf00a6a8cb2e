// Package merge gives the logs of a stack's containers as one: what is there in the
// order of time, then what comes. It knows containers by their states alone, and
// says when nothing more is to come of any.
package merge

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/logs"
)

// Options select lines of logs.
type Options struct {
	logs.Selection
	Services   []string // empty: all
	Containers []string // IDs; empty: all of the services
	Number     int      // of the replicas; 0: all
	Follow     bool     // go on with what is printed from now on, by containers to come too
	UntilEnded bool     // with Follow: until all containers have ended, and nothing brings one back
}

func (o *Options) wants(c *planner.Container) bool {
	return (len(o.Services) == 0 || slices.Contains(o.Services, c.Service)) &&
		(len(o.Containers) == 0 || slices.Contains(o.Containers, c.ID)) &&
		(o.Number == 0 || o.Number == c.Number && !c.OneOff)
}

// Source is where containers are.
type Source interface {
	Containers(project string) []planner.Container
	// Log is that of a container, nil of one that is gone.
	Log(id string) *logs.Log
	// Idle returns once nobody is at work on a container, as who restarts it is.
	Idle(ctx context.Context, id string) error
	Watch(ctx context.Context, project string, changed func(c planner.Container, removed bool), synced func())
}

// Read gives the lines that the containers of a project printed: what is
// there in the order of time, then, with Follow, each as it comes, until ctx
// ends. emit and drained, which may be nil, are called by one goroutine at a time; an error
// of them ends Read. The text of a line is valid until emit returns; drained says that
// nothing more is there at the moment.
func Read(ctx context.Context, from Source, project string, opts Options, emit func(logs.Line) error, drained func() error) error {
	var mu sync.Mutex
	safe := func(l logs.Line) error {
		mu.Lock()
		defer mu.Unlock()
		return emit(l)
	}
	all := func() error {
		if drained == nil {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		return drained()
	}
	known := map[string]bool{}
	var list []*logs.Log
	for _, p := range from.Containers(project) {
		if log := from.Log(p.ID); log != nil && opts.wants(&p) {
			list, known[p.ID] = append(list, log), true
		}
	}
	ends, err := logs.Past(list, opts.Selection, safe)
	if err == nil {
		err = all()
	}
	if err != nil || !opts.Follow {
		return err
	}
	if !opts.Until.IsZero() {
		var done context.CancelFunc
		ctx, done = context.WithDeadlineCause(ctx, opts.Until, context.Canceled)
		defer done()
	}
	f, ctx := logs.NewFollowers(ctx, opts.Selection, safe, all)
	defer f.Close()
	for i, log := range list {
		f.Follow(log, ends[i])
	}
	end := ending{ctx: ctx, from: from, project: project, opts: &opts, over: f.Finish}
	defer end.running.Wait()
	from.Watch(ctx, project, func(p planner.Container, removed bool) {
		if log := from.Log(p.ID); !removed && !known[p.ID] && log != nil && opts.wants(&p) {
			known[p.ID] = true
			f.Follow(log, logs.Position{})
		}
		end.look()
	}, end.look)
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, logs.ErrOver) {
		return err
	}
	return nil
}

// ending finds out when nothing more is to come.
type ending struct {
	ctx     context.Context
	from    Source
	project string
	opts    *Options
	over    func()
	running sync.WaitGroup

	mu      sync.Mutex
	looking bool // guarded by mu: a look is under way
	again   bool // guarded by mu: and something has changed since it began
}

// look looks again, beside what watches: a look may have to wait for who is at work
// on a container.
func (e *ending) look() {
	if !e.opts.UntilEnded {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.again = e.looking; e.looking {
		return
	}
	e.looking = true
	e.running.Go(func() {
		for isOver := e.isOver(); ; isOver = e.isOver() {
			e.mu.Lock()
			if isOver || !e.again {
				e.looking = false
				e.mu.Unlock()
				break
			}
			e.again = false
			e.mu.Unlock()
		}
	})
}

// isOver ends it all if all containers have ended, and still have once nobody is at
// work on one of them.
func (e *ending) isOver() bool {
	ended := e.ended()
	if ended == nil {
		return false
	}
	for _, id := range ended {
		if e.from.Idle(e.ctx, id) != nil {
			return true // the reader is gone
		}
	}
	if e.ended() == nil {
		return false
	}
	e.over()
	return true
}

// ended are the containers, if all of them have ended, or were never started; nil if one may print more.
func (e *ending) ended() []string {
	ids := []string{}
	for _, c := range e.from.Containers(e.project) {
		switch {
		case !e.opts.wants(&c):
		case c.State != planner.Exited && c.State != planner.Created:
			return nil
		default:
			ids = append(ids, c.ID)
		}
	}
	return ids
}
