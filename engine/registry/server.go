// Package registry is the API of what goes to registries and comes from them beside what a stack
// pulls to run: images that are pushed and pulled by their names, and logins.
package registry

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/engine/mailbox"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/planner/walk"
	"github.com/orlop/orlop/runner/image"
	"github.com/orlop/orlop/runner/push"
)

// Server is the API of an engine's images.
type Server struct {
	api.UnimplementedRegistryServer
	Images *image.Store
	// Credentials are the logins that a session of the caller's lends, and those of the settings.
	Credentials func(ctx context.Context, session string) func(host string) (user, secret string, err error)
	// Doing notes what is being done until done is called.
	Doing func(what string) (done func())
	// Room is an error where there is too little on the disk for a step.
	Room func(planner.Action) error
	// Explain adds to an error what the engine knows of its disk.
	Explain func(error) error

	uploads push.Uploads
}

// Push implements api.RegistryServer.
func (s *Server) Push(r *api.PushRequest, stream grpc.ServerStreamingServer[api.Progress]) error {
	return mailbox.Serve(stream.Send, func(box *mailbox.Box) error {
		plan := &planner.Plan{Project: r.Of, Limit: int(r.Limit)}
		for _, one := range r.Images {
			shown := one.Name
			if one.Platform != "" {
				shown += " (" + one.Platform + ")"
			}
			step := &planner.Step{ID: string(planner.Push) + " " + shown, Action: planner.Push, Resource: shown, Name: one.Name, Service: one.Service, Platform: one.Platform}
			if plan.Step(step.ID) == nil {
				plan.Steps = append(plan.Steps, step)
			}
		}
		p := &pusher{Server: s, session: r.Session, ignores: r.IgnoreFailures, pushed: map[string]string{}}
		verdict := s.walk(stream.Context(), plan, p, box)
		verdict.Pushed = p.pushed
		box.Put(&api.Progress{Of: &api.Progress_Verdict{Verdict: verdict}})
		return nil
	})
}

// Fetch implements api.RegistryServer.
func (s *Server) Fetch(r *api.FetchRequest, stream grpc.ServerStreamingServer[api.Progress]) error {
	return mailbox.Serve(stream.Send, func(box *mailbox.Box) error {
		plan := &planner.Plan{Project: strings.Join(r.Names, ", ")}
		for _, name := range r.Names {
			step := &planner.Step{ID: string(planner.Pull) + " " + name, Action: planner.Pull, Resource: name, Name: name, Platform: r.Platform}
			if plan.Step(step.ID) == nil {
				plan.Steps = append(plan.Steps, step)
			}
		}
		verdict := s.walk(stream.Context(), plan, &puller{s, r.Session, r.Whole}, box)
		box.Put(&api.Progress{Of: &api.Progress_Verdict{Verdict: verdict}})
		return nil
	})
}

// walk sends a plan, carries it out and sends each event. It gives the verdict.
func (s *Server) walk(ctx context.Context, plan *planner.Plan, e planner.Executor, box *mailbox.Box) *api.Verdict {
	defer s.Doing(plan.Summary() + " of " + plan.Project)()
	box.Put(&api.Progress{Of: &api.Progress_Plan{Plan: api.NewPlan(plan)}})
	verdict := &api.Verdict{Ok: true, UpToDate: plan.IsEmpty()}
	if err := walk.Plan(ctx, plan, e, 2*runtime.NumCPU()+2, time.Now, box.Tell); err != nil {
		verdict.Ok, verdict.Error, verdict.Interrupted = false, api.Valid(err.Error()), ctx.Err() != nil
	}
	return verdict
}

// pusher carries out steps that push.
type pusher struct {
	*Server
	session string
	ignores bool // failures are warnings

	mu     sync.Mutex
	pushed map[string]string // guarded by mu: digests by names
}

// Execute implements planner.Executor.
func (p *pusher) Execute(ctx context.Context, s *planner.Step, note func(planner.Event)) (planner.Result, error) {
	result, err := p.push(ctx, s, note)
	if err = p.Explain(err); err != nil && p.ignores && ctx.Err() == nil {
		note(planner.Event{Kind: planner.Warned, Text: err.Error()})
		return planner.Result{Outcome: planner.Unchanged, Text: "not pushed"}, nil
	}
	return result, err
}

func (p *pusher) push(ctx context.Context, s *planner.Step, note func(planner.Event)) (planner.Result, error) {
	target, err := p.Images.Target(ctx, s.Name, s.Platform)
	if err != nil {
		return planner.Result{}, fmt.Errorf("cannot push %s: %w", s.Name, err)
	}
	release, err := p.Images.Keep(ctx, []string{target.Root.Digest.String()})
	if err != nil {
		return planner.Result{}, err
	}
	defer release()
	sent, err := push.Send(ctx, push.Job{
		Ref: target.Name, Root: target.Root, From: image.Documents(p.Images.Content()),
		Hosts: p.Images.Hosts(p.Credentials(ctx, p.session)), Beside: &p.uploads,
		Progress: func(current, total int64, doing string) {
			note(planner.Event{Current: current, Total: total, Text: doing})
		},
	})
	if err != nil {
		return planner.Result{}, err
	}
	digest := target.Root.Digest.String()
	p.mu.Lock()
	p.pushed[s.Name] = digest
	p.mu.Unlock()
	if target.Alone != "" {
		note(planner.Event{Kind: planner.Warned, Text: fmt.Sprintf("of %s, %s alone is pushed: its other platforms are not here; pull them with \"orlop image pull --platform\"", s.Resource, target.Alone)})
	}
	if sent.IsThere {
		return planner.Result{Outcome: planner.Unchanged, Text: digest}, nil
	}
	return planner.Result{Text: digest}, nil
}

// puller carries out steps that pull.
type puller struct {
	*Server
	session string
	isWhole bool // with all platforms
}

// Execute implements planner.Executor.
func (p *puller) Execute(ctx context.Context, s *planner.Step, note func(planner.Event)) (planner.Result, error) {
	if err := p.Room(s.Action); err != nil {
		return planner.Result{}, err
	}
	progress := func(current, total int64, doing string) {
		note(planner.Event{Current: current, Total: total, Text: doing})
	}
	pull := func() (bool, error) {
		return p.Images.Pull(ctx, s.Name, s.Platform, p.Credentials(ctx, p.session), progress)
	}
	if p.isWhole {
		pull = func() (bool, error) { return p.Images.PullWhole(ctx, s.Name, p.Credentials(ctx, p.session), progress) }
	}
	changed, err := pull()
	if err != nil {
		return planner.Result{}, p.Explain(err)
	}
	now, err := p.Images.Digest(ctx, s.Name)
	if err != nil {
		return planner.Result{}, err
	}
	if !changed {
		return planner.Result{Outcome: planner.Unchanged, Text: now}, nil
	}
	return planner.Result{Text: now}, nil
}
