package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/exec"
	"github.com/orlop/orlop/runner/hook"
	"github.com/orlop/orlop/runner/supervisor"
	"github.com/orlop/orlop/spec"
)

// begin starts a container on somebody's word, and runs what its service wants run in
// it then (Compose Specification, post_start): one that fails stops it. A restart by
// its policy does not. waits bounds how long it is waited for them. The caller holds op.
func (c *container) begin(ctx, waits context.Context, note func(planner.Event)) error {
	hooks := c.snapshot().Applied.Service.PostStart
	if len(hooks) > 0 {
		c.apply(supervisor.Hooks{}) // first: an engine that is killed meanwhile leaves a word of it
	}
	if err := c.start(ctx); err != nil || len(hooks) == 0 {
		return err
	}
	for i, h := range hooks {
		note(planner.Event{Text: fmt.Sprintf("post_start %d of %d: %s", i+1, len(hooks), spec.Shorten(strings.Join(h.Command, " ")))})
		if err := c.runHook(waits, "post_start", i, h, 0, linesOf(note)); err != nil {
			return errors.Join(err, c.stop(ctx, Grace{Set: true, Bare: true}, true))
		}
	}
	c.apply(supervisor.Hooks{Done: true})
	return nil
}

// runInit runs a container of pre_start to its end. One that an engine which was killed
// has left behind is cleared away first.
func (r *Runner) runInit(waits context.Context, o *Order, s *planner.Step, note func(planner.Event)) error {
	req := o.request(s, note)
	req.Name, req.OneOff, req.AutoRemove, req.Image, req.From = s.Name, true, true, s.Applied.Service.Image, ""
	init := hook.Init{Make: func(ctx context.Context) (string, error) {
		made, err := r.CreateOneOff(ctx, req, o.Places, false)
		for _, w := range made.Warnings {
			note(planner.Event{Kind: planner.Warned, Text: w})
		}
		return made.ID, err
	}, Attach: func(ctx context.Context, id string, out, errOut io.Writer) (*exec.Process, error) {
		return r.Attach(ctx, id, nil, out, errOut)
	}, StopSignal: s.Applied.Service.StopSignal, Grace: stopTimeout}
	if own := s.Applied.Service.StopGrace; own != nil {
		init.Grace = time.Duration(*own)
	}
	err := r.RemoveOneOff(waits, req.Project, req.Name)
	if err == nil {
		err = init.Run(waits, hook.Place{Service: s.Service, Key: "pre_start", Index: s.Index}, r.Mask(o.Project).Text, func(line string) { note(planner.Event{Text: line}) })
	}
	return err
}

// beforeStop runs what a service wants run in a container that is about to be stopped
// (pre_stop): one that fails, or takes longer than the container may to stop, keeps it.
func (c *container) beforeStop(ctx context.Context, grace Grace) error {
	rec := c.snapshot()
	if grace.Bare || rec.State != planner.Running {
		return nil
	}
	within, _ := c.graceOf(grace)
	within = max(within, stopTimeout)
	if len(rec.Applied.Service.PreStop) > 0 {
		if err := c.unpause(ctx); err != nil {
			return err
		}
	}
	for i, h := range rec.Applied.Service.PreStop {
		if err := c.runHook(ctx, "pre_stop", i, h, within, grace.Say); err != nil && c.isRunning() {
			return err
		}
	}
	return nil
}

// linesOf notes each line that a command in a container prints.
func linesOf(note func(planner.Event)) func(line string) {
	return func(line string) { note(planner.Event{Lines: []string{line}}) }
}

// runHook runs a command in a container to its end, within a time; 0 is any. say gets what it prints, and may be nil.
func (c *container) runHook(ctx context.Context, key string, i int, h spec.Hook, within time.Duration, say func(line string)) error {
	if say == nil {
		say = func(string) {}
	}
	rec := c.snapshot()
	at := hook.Place{Service: rec.Service, Key: key, Index: i}
	c.mu.Lock()
	task := c.task
	c.mu.Unlock()
	if task == nil {
		return at.Fail(c.name+" has ended before it could be run", "")
	}
	doc, err := c.processSpec(ctx, ProcessOptions{Command: h.Command, User: h.User, WorkingDir: h.WorkingDir, Environment: h.Variables(), Privileged: h.Privileged})
	if err != nil {
		return at.Fail(err.Error(), "")
	}
	if h.Privileged {
		c.r.nets.LeaveAlone(rec.Netns) // it may change that
	}
	return hook.Run(ctx, task, doc, at, within, c.r.fifoDir(c.id), c.r.Mask(c.project).Cut, say)
}
