package cli

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/builder"
	"github.com/orlop/orlop/cmd/remote"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/privilege"
)

// Application is what is to be applied of a project.
type Application struct {
	Project  *spec.Project
	Options  planner.Options
	Builds   BuildOptions
	Anew     bool // builds: leave fingerprints aside and ask BuildKit
	Timeout  int  // seconds that containers get to stop; negative: their own
	PlanOnly bool // no session is needed

	IgnoreBuildable bool // of pulls: images that services build are left out
	IgnoreFailures  bool // of pulls: they are warnings
}

// Request is an application as the engine is asked for it, with the build
// session that it lends the engine.
type Request struct {
	Message *api.ApplyRequest
	session BuildSession // nil: none
	client  *api.Client
}

// Request fingerprints the builds of an application and writes it down. What is carried out
// has the consent that it needs.
func (inv *Invocation) Request(ctx context.Context, client *api.Client, p Application) (*Request, error) {
	if !p.PlanOnly { // a pull too tells a registry what the variables in an image's name are
		if err := inv.Consent(ctx, p.Project); err != nil {
			return nil, err
		}
		if err := inv.admitStacks(ctx, client, p.Project); err != nil {
			return nil, err
		}
	}
	if err := inv.provide(ctx, client, &p); err != nil {
		return nil, err
	}
	if p.IgnoreBuildable {
		leaveBuildable(p.Project)
	}
	p.Options.Services, _ = Containers(p.Project, p.Options.Services)
	r := &Request{client: client, Message: &api.ApplyRequest{
		Payloads: map[string]*api.Payload{}, WorkingDir: p.Project.WorkingDir, Files: p.Project.Files,
		ReadFiles: p.Project.ReadFiles, RealFiles: privilege.Real(p.Project, p.Project.WorkingDir), RemoteDirs: remoteDirs(p.Project),
		Disabled: slices.Sorted(maps.Keys(p.Project.Disabled)), IgnoreFailures: p.IgnoreFailures,
	}}
	var err error
	if r.Message.Locked, _, err = remote.Images(p.Project.WorkingDir); err != nil {
		return nil, err
	}
	for path, payload := range p.Project.Payloads {
		r.Message.Payloads[path] = &api.Payload{Content: payload.Content, Secret: payload.Secret}
	}
	r.Message.StopTimeoutMs, r.Message.HasStopTimeout = StopTimeout(p.Timeout)
	if err := inv.addBuilds(ctx, &p, r); err != nil {
		return nil, Cause(ctx, err)
	}
	p.Options.Limit, p.Options.AllResources = inv.Parallel, inv.AllResources
	if inv.Frozen {
		if err := inv.holdToLock(ctx, client, p); err != nil {
			r.Close()
			return nil, err
		}
	}
	for _, doc := range []struct {
		into *[]byte
		from any
	}{
		{&r.Message.Project, asDocument(p.Project)}, {&r.Message.Places, p.Project.Places},
		{&r.Message.Options, p.Options}, {&r.Message.BuildOptions, p.Builds},
	} {
		if *doc.into, err = Marshal(doc.from); err != nil {
			r.Close()
			return nil, err
		}
	}
	return r, nil
}

// leaveBuildable takes their names from images that services build: what has none is not pulled.
func leaveBuildable(p *spec.Project) {
	for _, services := range []map[string]*spec.Service{p.Services, p.Jobs} {
		for _, s := range services {
			if s.Build != nil {
				s.Image = ""
			}
		}
	}
}

// addBuilds adds the fingerprints of the builds among the chosen services, and
// prepares sessions for them and for pulls; a plan that needs none connects
// none.
func (inv *Invocation) addBuilds(ctx context.Context, p *Application, r *Request) error {
	if inv.Builder == nil {
		return nil
	}
	chosen, err := p.Project.Select(p.Options.Services, p.Options.NoDeps)
	if err != nil {
		return err
	}
	if !p.Options.NoBuild && !p.Options.PullOnly {
		p.Builds.Services = Builders(p.Project, chosen)
		if len(p.Options.Services) == 0 && !p.Options.BuildOnly {
			p.Builds.Services = append(p.Builds.Services, Builders(p.Project, p.Project.Work())...)
			slices.Sort(p.Builds.Services)
			p.Builds.Services = slices.Compact(p.Builds.Services)
		}
	}
	p.Builds.Environ, p.Builds.Tell, p.Builds.Epoch = inv.Env, inv.SayNotice, inv.Env[builder.EpochVariable]
	p.Options.Rebuild, p.Options.CacheTo = p.Anew, len(p.Builds.CacheTo) > 0
	if err := inv.CheckBuilds(p.Project, p.Builds.Services); err != nil {
		return err
	}
	if len(p.Builds.Services) > 0 {
		if p.Options.Inputs, err = inv.Builder.Inputs(ctx, p.Project, p.Builds); err != nil {
			return err
		}
	}
	if p.PlanOnly {
		return nil
	}
	if r.session, err = inv.Builder.Open(ctx, p.Project, p.Builds); err != nil {
		return err
	}
	r.Message.Sessions = r.session.IDs()
	return nil
}

// Lend connects the build sessions that a plan needs.
func (r *Request) Lend(p *planner.Plan) error {
	if r.session == nil {
		return nil
	}
	for _, s := range p.Steps {
		name := s.Service
		switch s.Action {
		case planner.Build:
		case planner.Pull:
			name = ""
		default:
			continue
		}
		if err := r.session.Connect(r.client.Conn(), name); err != nil {
			return err
		}
	}
	return nil
}

// Close ends the session.
func (r *Request) Close() {
	if r.session != nil {
		r.session.Close()
	}
}

// Apply asks the engine for an application and shows how it goes.
func (inv *Invocation) Apply(ctx context.Context, client *api.Client, p Application, how Progress) (Outcome, error) {
	if inv.DryRun {
		return inv.foreseeApply(ctx, client, p, how)
	}
	if _, isNone := Containers(p.Project, p.Options.Services); isNone {
		if err := inv.Consent(ctx, p.Project); err != nil {
			return Outcome{}, err
		}
		return Outcome{Plan: &planner.Plan{Project: p.Project.Name}, Verdict: &api.Verdict{Ok: true, UpToDate: true}}, inv.provide(ctx, client, &p)
	}
	r, err := inv.Request(ctx, client, p)
	if err != nil {
		return Outcome{}, err
	}
	defer r.Close()
	stream, err := client.Apply(ctx, r.Message)
	if err != nil {
		return Outcome{}, Cause(ctx, err)
	}
	how.Lend = r.Lend
	outcome, err := inv.Show(ctx, stream, how)
	switch {
	case err != nil || outcome.Plan == nil:
	case p.Options.PullOnly:
		inv.sayKeptImages(&p, outcome.Plan)
	case p.Options.Build:
		inv.sayBuiltImages(&p, outcome.Plan)
	}
	return outcome, err
}

// Plan asks the engine what an application would do. The plan has no secrets.
func (inv *Invocation) Plan(ctx context.Context, client *api.Client, p Application) (*planner.Plan, error) {
	p.PlanOnly = true
	if _, isNone := Containers(p.Project, p.Options.Services); isNone {
		return &planner.Plan{Project: p.Project.Name}, nil
	}
	r, err := inv.Request(ctx, client, p)
	if err != nil {
		return nil, err
	}
	reply, err := client.Plan(ctx, r.Message)
	if err != nil {
		return nil, Cause(ctx, err)
	}
	return reply.Plan.Planner().Masked(inv.Mask.Text), nil
}

// LeaveOrphans takes out of a plan what the caller does not want to hear of.
func (s *Settings) LeaveOrphans(p *planner.Plan) {
	if s.IgnoreOrphans && p != nil {
		p.Orphans, p.EndedRuns = nil, nil
	}
}

// CheckBuilds shows what the builds of services lack, as mistakes of the stack
// file.
func (inv *Invocation) CheckBuilds(p *spec.Project, services []string) error {
	if inv.Builder == nil || len(services) == 0 {
		return nil
	}
	err := inv.Builder.Check(p, services)
	var mistakes *spec.Mistakes
	if errors.As(err, &mistakes) {
		return inv.Complain(mistakes.Diagnostics.Sourced(inv.Dir))
	}
	return err
}

// Builders are the services whose builds the chosen ones need: their own, those
// that make an image which they name, and those that their builds start from.
func Builders(whole, chosen *spec.Project) []string {
	need := map[string]bool{}
	var add func(name string)
	add = func(name string) {
		s := whole.Buildable(name)
		if s == nil || s.Build == nil || need[name] {
			return
		}
		need[name] = true
		for _, from := range s.Build.AdditionalContexts {
			if other, ok := strings.CutPrefix(from, "service:"); ok {
				add(other)
			}
		}
	}
	for name := range chosen.Services {
		add(name)
		for other := range whole.Services {
			if whole.ImageName(other) == whole.ImageName(name) {
				add(other)
			}
		}
	}
	return slices.Sorted(maps.Keys(need))
}

// ChosenServices are the services that the names stand for, with what they
// depend on unless noDeps.
func ChosenServices(p *spec.Project, names []string, noDeps bool) []string {
	part, err := p.Select(names, noDeps)
	if err != nil {
		return names
	}
	return slices.Sorted(maps.Keys(part.Services))
}
