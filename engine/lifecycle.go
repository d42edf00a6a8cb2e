package engine

import (
	"context"
	"slices"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/engine/mailbox"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/planner/walk"
	"github.com/orlop/orlop/runner"
	"github.com/orlop/orlop/runner/proc"
)

// newClaim is the claim of who calls. A caller that does not say what it was
// called with has the given verb.
func newClaim(ctx context.Context, verb, project string) *claim {
	caller := api.CallerOf(ctx)
	if caller.Verb != "" {
		verb = caller.Verb
	}
	return &claim{verb: verb, project: project, pid: caller.PID}
}

// Lifecycle starts, stops, restarts, kills or removes containers.
func (s *server) Lifecycle(req *api.LifecycleRequest, stream api.Engine_LifecycleServer) error {
	return mailbox.Serve(stream.Send, func(box *mailbox.Box) error { return s.lifecycle(stream.Context(), req, box) })
}

func (s *server) lifecycle(ctx context.Context, req *api.LifecycleRequest, box *mailbox.Box) error {
	if req.Project == "" {
		return errNoProject
	}
	action := planner.Action(req.Action)
	claim := newClaim(ctx, req.Action, req.Project)
	if req.DryRun {
		plan, _, err := s.planLifecycle(ctx, req, claim)
		return s.foretell(plan, err, box)
	}
	claim.verb = verbOf(action)
	claim.starts = action == planner.Start || action == planner.Restart
	claim.ends = !slices.Contains([]planner.Action{planner.Start, planner.Pause, planner.Unpause}, action) && !req.OnlyStopped && isAsked(ctx, action)
	if action == planner.Kill {
		return s.kill(ctx, req, claim, box)
	}
	over := func() {}
	if claim.ends && len(req.Containers) == 0 {
		over = s.runner.Hasten(req.Project, req.Services, graceOf(req))
	}
	ctx, release, err := s.locks.take(ctx, req.Project, claim, box.Notice)
	over()
	if err != nil {
		return err
	}
	defer release()
	defer s.doing(req.Action + " " + req.Project)()
	plan, c, err := s.planLifecycle(ctx, req, claim)
	if err != nil {
		return causeOf(ctx, err)
	}
	defer s.forgetGone(context.WithoutCancel(ctx), req.Project)
	return s.walk(ctx, plan, c, box)
}

// foretell gives a plan that is not carried out.
func (e *Engine) foretell(plan *planner.Plan, err error, box *mailbox.Box) error {
	if err != nil {
		return err
	}
	box.Put(&api.Progress{Of: &api.Progress_Plan{Plan: api.NewPlan(plan.Masked(e.runner.Mask(plan.Project).Text))}})
	box.Put(&api.Progress{Of: &api.Progress_Verdict{Verdict: &api.Verdict{Ok: true, UpToDate: plan.IsEmpty()}}})
	return nil
}

// isAsked says that a user has called for the action by itself. What a watch does
// after a save is no reason to end what somebody else has begun.
func isAsked(ctx context.Context, action planner.Action) bool {
	verb := api.CallerOf(ctx).Verb
	return verb != "watch" && (verb != "up" || action != planner.Restart)
}

// verbOf is the verb that an action belongs to.
func verbOf(a planner.Action) string {
	if a == planner.Remove {
		return "rm"
	}
	return string(a)
}

// kill signals containers, and waits for nobody: it is the way out of a stop
// that waits. SIGKILL ends what starts containers as well, and those that had
// been begun by then.
func (s *server) kill(ctx context.Context, req *api.LifecycleRequest, claim *claim, box *mailbox.Box) error {
	defer s.doing(req.Action + " " + req.Project)()
	var ended []string
	if proc.IsFatal(req.Signal) {
		ended = s.locks.end(req.Project, claim)
	}
	for _, text := range ended {
		box.Notice(text)
	}
	plan, c, err := s.planLifecycle(ctx, req, claim)
	if err != nil {
		return err
	}
	verdict, err := s.carryOut(ctx, plan, c, box)
	if err == nil && len(ended) > 0 {
		err = s.killBegun(ctx, req, claim)
	}
	if err != nil {
		return err
	}
	box.Put(&api.Progress{Of: &api.Progress_Verdict{Verdict: verdict}})
	return nil
}

// killBegun kills what a command that was ended had begun by then, once it has
// finished that.
func (s *server) killBegun(ctx context.Context, req *api.LifecycleRequest, claim *claim) error {
	ctx, release, err := s.locks.take(ctx, req.Project, claim, func(string) {})
	if err != nil {
		return err
	}
	defer release()
	plan, c, err := s.planLifecycle(ctx, req, claim)
	if err != nil {
		return err
	}
	return walk.Plan(ctx, plan, c, walkLimit(), time.Now, func(planner.Event) {})
}

// planLifecycle plans what a lifecycle request asks for.
func (s *server) planLifecycle(ctx context.Context, req *api.LifecycleRequest, claim *claim) (*planner.Plan, *executor, error) {
	observed, err := s.observe(ctx, req.Project, nil)
	if err != nil {
		return nil, nil, err
	}
	if planner.Action(req.Action) == planner.Kill && !proc.IsFatal(req.Signal) || req.OnlyStopped || len(req.Containers) > 0 {
		observed.Schedules = nil // it stops nothing
	}
	plan := planner.Lifecycle(req.Project, narrow(observed, req), planner.Action(req.Action), req.Services, req.Signal)
	if req.Wait {
		plan.AwaitReady(narrow(observed, req), req.Services)
	}
	plan.Limit = int(req.Limit)
	order := &runner.Order{
		Project: req.Project, Anonymous: req.RemoveVolumes, Restarts: true,
		Grace: graceOf(req),
	}
	return plan, &executor{engine: s.Engine, job: &job{order: order, observed: observed, claim: claim, mask: s.runner.Mask(req.Project)}}, nil
}

// graceOf is the time to stop that a request asks for.
func graceOf(req interface {
	GetHasStopTimeout() bool
	GetStopTimeoutMs() int64
}) runner.Grace {
	return runner.Grace{Set: req.GetHasStopTimeout(), Time: time.Duration(req.GetStopTimeoutMs()) * time.Millisecond}
}

// narrow leaves out the containers that a lifecycle request is not about.
func narrow(o *planner.Observed, req *api.LifecycleRequest) *planner.Observed {
	kept := *o
	kept.Containers = nil
	for _, c := range o.Containers {
		switch {
		case len(req.Containers) > 0 && !slices.Contains(req.Containers, c.ID):
			continue
		case req.OnlyStopped && c.State != planner.Exited && c.State != planner.Created:
			continue
		case len(req.Containers) > 0:
		case c.OneOff && !req.IncludeOneOff:
			continue
		case len(req.Services) == 0 && len(req.Within) > 0 && !slices.Contains(req.Within, c.Service):
			continue
		case req.NoDeps && len(req.Services) > 0 && !slices.Contains(req.Services, c.Service):
			continue
		}
		kept.Containers = append(kept.Containers, c)
	}
	return &kept
}
