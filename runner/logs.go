package runner

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/logs"
	"github.com/orlop/orlop/runner/logs/sink"
	"github.com/orlop/orlop/runner/supervisor"
)

// LogOptions select lines of logs.
type LogOptions struct {
	logs.Selection
	Services   []string // empty: all
	Containers []string // IDs; empty: all of the services
	Follow     bool     // go on with what is printed from now on, by containers to come too
}

// Logs gives the lines that the containers of a project printed: what is
// there in the order of time, then, with Follow, each as it comes, until ctx
// ends. emit is called by one goroutine at a time; an error of it ends Logs.
func (r *Runner) Logs(ctx context.Context, project string, opts LogOptions, emit func(logs.Line) error) error {
	var mu sync.Mutex
	safe := func(l logs.Line) error {
		mu.Lock()
		defer mu.Unlock()
		return emit(l)
	}
	known := map[string]bool{}
	var list []*logs.Log
	for _, p := range r.Containers(project) {
		if c := r.lookup(p.ID); c != nil && opts.wants(&p) {
			list, known[p.ID] = append(list, c.log), true
		}
	}
	ends, err := logs.Past(list, opts.Selection, safe)
	if err != nil || !opts.Follow {
		return err
	}
	if !opts.Until.IsZero() {
		var done context.CancelFunc
		ctx, done = context.WithDeadlineCause(ctx, opts.Until, context.Canceled)
		defer done()
	}
	f, ctx := logs.NewFollowers(ctx, opts.Selection, safe)
	defer f.Close()
	for i, log := range list {
		f.Follow(log, ends[i])
	}
	r.Watch(ctx, project, func(p planner.Container, removed bool) {
		if c := r.lookup(p.ID); !removed && !known[p.ID] && c != nil && opts.wants(&p) {
			known[p.ID] = true
			f.Follow(c.log, logs.Position{})
		}
	}, func() {})
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (o *LogOptions) wants(c *planner.Container) bool {
	return (len(o.Services) == 0 || slices.Contains(o.Services, c.Service)) &&
		(len(o.Containers) == 0 || slices.Contains(o.Containers, c.ID))
}

// LastLines are the last lines that a container printed since its last start,
// to explain a failure.
func (r *Runner) LastLines(id string, n int) []string {
	c := r.lookup(id)
	if c == nil {
		return nil
	}
	return c.log.Last(n, c.snapshot().StartedAt)
}

// openLog is the log of a container, which goes on with what is there.
func (r *Runner) openLog(rec *supervisor.Record) *logs.Log {
	cfg := sink.Config(rec, filepath.Join(r.dir(rec.ID), "log"))
	cfg.Now, cfg.Log, cfg.Lost = r.Now, r.log, func() { r.feed.Tell(rec.Project, rec.ID) }
	return logs.New(cfg)
}
