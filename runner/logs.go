package runner

import (
	"context"

	"github.com/orlop/orlop/runner/logs"
	"github.com/orlop/orlop/runner/logs/sink"
	"github.com/orlop/orlop/runner/supervisor"
)

// Log is the log of a container, nil where there is none.
func (r *Runner) Log(id string) *logs.Log {
	if c := r.lookup(id); c != nil {
		return c.log
	}
	return nil
}

// Idle returns once nobody starts, stops or removes a container.
func (r *Runner) Idle(ctx context.Context, id string) error {
	if c := r.lookup(id); c != nil {
		return c.op.Idle(ctx)
	}
	return nil
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
	cfg := sink.Config(rec, r.LogDir(rec.ID))
	cfg.Now, cfg.Log, cfg.Lost = r.Now, r.log, func() { r.feed.Tell(rec.Project, rec.ID) }
	return logs.New(cfg)
}
