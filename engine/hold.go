package engine

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/planner/walk"
	"github.com/orlop/orlop/runner"
)

// bucketHolds keeps which projects are held, so that the hold of a caller that
// died with an engine is not forgotten.
const bucketHolds = "holds"

// regrace is how long a caller has to come back to a new engine before what it
// held is removed.
const regrace = 20 * time.Second

// lease is how long a caller whose stream broke has to come back to the same
// engine.
const lease = 2 * time.Second

// Errors of a hold of a project that is held.
var (
	errHeld    = errors.New("the project is held by another command already: choose another name with -p")
	errRemoved = errors.New("the project is being removed, for nobody held it: try again when it is gone")
)

// holding is one hold of a project; engine.mu guards what is in it.
type holding struct {
	caller   string      // who may come back to it; "": nobody
	away     *time.Timer // runs while its caller is away, and removes the project
	removing bool        // nobody holds it but its removal
}

// Hold keeps a project for as long as its caller lives.
func (s *server) Hold(stream api.Engine_HoldServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	project := first.Project
	if project == "" {
		return errNoProject
	}
	h, err := s.hold(project, first.Caller)
	if err != nil {
		return err
	}
	if err := s.store.Flush(); err != nil {
		s.letGo(project, h)
		return err
	}
	if err := stream.Send(&api.HoldReply{}); err != nil {
		s.lapse(project, h)
		return err
	}
	ended := make(chan error, 1)
	go func() {
		for {
			msg, err := stream.Recv()
			if err != nil || msg.Release {
				ended <- err
				return
			}
		}
	}()
	select {
	case err = <-ended:
	case <-stream.Context().Done():
		select {
		case err = <-ended: // its last word came with the end of the stream
		default:
			err = stream.Context().Err()
		}
	}
	switch {
	case err == nil:
		s.letGo(project, h)
		return s.store.Flush()
	case s.ctx.Err() != nil: // the engine ends, not the caller: the note is for the next one
	case errors.Is(err, io.EOF):
		s.giveUp(project, h)
	default:
		s.lapse(project, h)
	}
	return nil
}

// hold notes that a project is held, unless another command holds it. A caller
// that comes back has its own hold again, also before its old stream is seen to
// be broken.
func (e *Engine) hold(project, caller string) (*holding, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch before := e.held[project]; {
	case before == nil:
	case before.removing, before.caller == "" && before.away != nil:
		return nil, errRemoved
	case caller == "" || before.caller != caller:
		return nil, errHeld
	case before.away != nil:
		before.away.Stop()
	}
	h := &holding{caller: caller}
	e.held[project] = h
	e.store.Save(bucketHolds, project, []byte(caller))
	return h, nil
}

// lapse begins the lease of a caller whose stream broke.
func (e *Engine) lapse(project string, h *holding) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.held[project] == h {
		e.orphan(project, h, lease)
	}
}

// giveUp removes what a caller wants no more.
func (e *Engine) giveUp(project string, h *holding) {
	e.mu.Lock()
	mine := e.held[project] == h
	h.removing = mine
	e.mu.Unlock()
	if mine {
		e.lost(project)
	}
}

// letGo ends a hold.
func (e *Engine) letGo(project string, h *holding) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.held[project] == h {
		delete(e.held, project)
		e.store.Delete(bucketHolds, project)
	}
}

// lost removes a project that is held by its removal alone. Nobody waits
// for its containers to end in good order: they are killed at once, also those
// that another change is stopping gently.
func (e *Engine) lost(project string) {
	e.log.Info("the command that held a project is gone; the project is removed", "project", project)
	e.work.Run(func() {
		ctx := context.WithoutCancel(e.ctx)
		e.runner.KillAll(ctx, project)
		if _, err := e.removeProject(ctx, &claim{verb: "removal", project: project, pid: os.Getpid(), ends: true}, runner.Grace{Set: true}, nil); err != nil {
			e.log.Warn("cannot remove a project that nobody holds; it is tried again", "project", project, "error", err, "after", regrace)
			e.mu.Lock()
			e.orphan(project, &holding{}, regrace)
			e.mu.Unlock()
			return
		}
		e.mu.Lock()
		delete(e.held, project)
		e.store.Delete(bucketHolds, project)
		e.mu.Unlock()
		e.log.Info("a project that nobody held is removed", "project", project)
	})
}

// removeProject removes all that exists of a project; of an instance the images
// that it built too. Its containers get what time grace gives them. Nothing is
// removed if unless, asked once nobody else can change the project, says that it
// is to stay; unless may be nil.
func (e *Engine) removeProject(ctx context.Context, by *claim, grace runner.Grace, unless func() bool) (removed bool, err error) {
	project := by.project
	ctx, release, err := e.locks.take(ctx, project, by, func(string) {})
	if err != nil {
		return false, err
	}
	defer release()
	if unless != nil && unless() {
		return false, nil
	}
	defer e.doing("remove " + project)()
	observed, err := e.observe(ctx, project, nil)
	if err != nil {
		return false, err
	}
	plan := planner.Down(project, nil, observed, planner.DownOptions{Volumes: true, Images: e.instances.Images(project, e.hasImage(ctx))})
	order := &runner.Order{Project: project, Anonymous: true, Grace: grace}
	err = walk.Plan(ctx, plan, &executor{engine: e, job: &job{order: order, observed: observed}}, walkLimit(), time.Now, func(planner.Event) {})
	e.forgetGone(ctx, project)
	return err == nil, err
}

// resumeHolds gives the callers of an engine that is gone their time to come
// back.
func (e *Engine) resumeHolds() error {
	docs, err := e.store.Load(bucketHolds)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for project, caller := range docs {
		e.orphan(project, &holding{caller: string(caller)}, regrace)
	}
	return nil
}

// orphan removes a project after a while, unless its caller comes back by then.
// From there on nobody can: it is held by its removal. The caller holds mu.
func (e *Engine) orphan(project string, h *holding, after time.Duration) {
	e.held[project] = h
	h.away = time.AfterFunc(after, func() {
		e.mu.Lock()
		still := e.held[project] == h && e.ctx.Err() == nil
		h.removing = still
		e.mu.Unlock()
		if still {
			e.lost(project)
		}
	})
}

// stopHolds ends what waits to be removed.
func (e *Engine) stopHolds() {
	e.mu.Lock()
	for _, h := range e.held {
		if h.away != nil {
			h.away.Stop()
		}
	}
	e.mu.Unlock()
}
