package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/engine/schedule"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/planner/walk"
	"github.com/orlop/orlop/runner/assembly"
	"github.com/orlop/orlop/spec"
)

// keptRuns are how many ended runs of a scheduled job keep their containers.
const keptRuns = 3

// schedule has a job run when it is time, or changes how.
func (c *executor) schedule(s *planner.Step) (planner.Result, error) {
	j := c.job
	request, err := j.unattended(s.Resource)
	if err != nil {
		return planner.Result{}, err
	}
	c.engine.schedules.Put(schedule.Job{
		Project: j.project.Name, Name: s.Resource, Applied: s.Applied, Request: request, Paused: s.NoStart,
		Dir: j.project.WorkingDir, Files: j.project.Files,
	})
	next := spec.NextFire(s.Applied.Service.Schedules(), j.observed.Clock)
	if s.NoStart || next.IsZero() {
		return planner.Result{}, nil
	}
	return planner.Result{Text: "next at " + planner.FireTime(next)}, nil
}

// renewSchedules gives scheduled jobs what the stack is now, for what they depend on.
func (e *Engine) renewSchedules(j *job) error {
	if !j.options.IsWhole() {
		return nil
	}
	for _, name := range j.project.Scheduled() {
		request, err := j.unattended(name)
		if err != nil {
			return err
		}
		e.schedules.Renew(j.project.Name, name, request)
	}
	return nil
}

// unattended is the request for a run of a job by the engine itself. What is there
// is left as it is: a fire is no update of the stack. It holds no secret, and no values of
// what the job does not need.
func (j *job) unattended(name string) ([]byte, error) {
	p := j.project.ForRun(name)
	if needed, err := p.Select([]string{name}, false); err == nil {
		p.Services, p.Jobs = bare(p.Services, needed.Services), bare(p.Jobs, nil)
	}
	places := maps.Clone(p.Places.All())
	for path, at := range p.Places.All() {
		if rest, ok := strings.CutPrefix(path, "jobs."); ok {
			places["services."+rest] = at
		}
	}
	opts := planner.Options{Services: []string{name}, Prepare: name, NoBuild: true, NoRecreate: true, Pull: "missing", Files: j.options.Files}
	req := &api.ApplyRequest{
		WorkingDir: j.request.WorkingDir, Files: j.request.Files, ReadFiles: j.request.ReadFiles, RealFiles: j.request.RealFiles,
		RemoteDirs: j.request.RemoteDirs, Disabled: j.request.Disabled, Locked: j.request.Locked,
	}
	var err error
	for into, doc := range map[*[]byte]any{&req.Project: p, &req.Places: spec.PlacesOf(places), &req.Options: opts} {
		if *into, err = json.Marshal(doc); err != nil {
			return nil, err
		}
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(req)
}

// bare are services without the values of those that are not needed. They are still told apart
// from what nobody knows, and so are the images that they build.
func bare(all, needed map[string]*spec.Service) map[string]*spec.Service {
	out := maps.Clone(all)
	for name, s := range all {
		if needed[name] != nil {
			continue
		}
		own := *s
		own.Environment = nil
		if own.Build != nil {
			build := *own.Build
			build.Args = nil
			own.Build = &build
		}
		out[name] = &own
	}
	return out
}

// fires makes the runs of scheduled jobs.
type fires struct{ *Engine }

// IsBusy implements schedule.Runner.
func (f fires) IsBusy(project, job string) bool { return len(f.running(project, job)) > 0 }

// running are the containers of runs of a job that go on.
func (e *Engine) running(project, job string) []planner.Container {
	return slices.DeleteFunc(e.runner.Containers(project), func(c planner.Container) bool {
		return !c.OneOff || c.Service != job || c.State != planner.Running && c.State != planner.Stopping
	})
}

// Run implements schedule.Runner. The container has the name of the fire, so that the next
// engine knows whether it was made.
func (f fires) Run(ctx context.Context, j schedule.Job, at time.Time) (planner.Run, error) {
	run, err := f.run(ctx, j, at)
	hide := f.runner.Mask(j.Project).Text
	run.Error = hide(run.Error)
	if err != nil && !errors.Is(err, schedule.ErrGone) && ctx.Err() == nil {
		err = errors.New(hide(err.Error())) // it is kept
	}
	return run, err
}

func (f fires) run(ctx context.Context, j schedule.Job, at time.Time) (planner.Run, error) {
	run := planner.Run{Container: schedule.RunName(j.Project, j.Name, at)}
	if !isMade(j, at, f.oneOff(j.Project, run.Container)) {
		if err := f.begin(ctx, j, run.Container); err != nil {
			return planner.Run{}, err
		}
	}
	err := f.await(ctx, j.Project, func() bool {
		c := f.oneOff(j.Project, run.Container)
		if c == nil {
			return true
		}
		run.ExitCode, run.Error = c.ExitCode, c.Error
		return c.State == planner.Exited
	})
	if err == nil && f.oneOff(j.Project, run.Container) == nil {
		return planner.Run{}, f.removed(j)
	}
	if err == nil {
		f.dropOldRuns(ctx, j, run.Container)
	}
	return run, err
}

// isMade says that a container of a fire's name is its run. One that was there before this
// engine decided about the fire is of a clock that was ahead.
func isMade(j schedule.Job, at time.Time, made *planner.Container) bool {
	return made != nil && made.State != planner.Created && at.Equal(j.Begun)
}

// removed is why a run has no end: it was removed with its stack, or by hand.
func (f fires) removed(j schedule.Job) error {
	if _, ok := f.schedules.Due(j.Project, j.Name); !ok {
		return schedule.ErrGone
	}
	return errors.New("its container was removed before its end was seen")
}

// begin makes and starts the container of a run, once no other run of the job goes on. A
// command that ends it has come between: it is begun again unless the job is not to be run
// any more.
func (f fires) begin(ctx context.Context, j schedule.Job, name string) error {
	for {
		if err := f.await(ctx, j.Project, func() bool { return !f.IsBusy(j.Project, j.Name) }); err != nil {
			return err
		}
		err := f.make(ctx, j, name)
		if _, isEnded := errors.AsType[*endedError](err); !isEnded {
			return err
		}
	}
}

// make is begin for one try, as a "run" of the job would do it. Before there is a container,
// its fire is on the disk, and what had its name is gone.
func (f fires) make(ctx context.Context, j schedule.Job, name string) (err error) {
	defer f.doing("start the run " + name)()
	claim := &claim{verb: "scheduled run of " + j.Name, project: j.Project, pid: os.Getpid(), starts: true}
	ctx, release, err := f.locks.take(ctx, j.Project, claim, func(string) {})
	if err != nil {
		return err
	}
	defer release()
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
	}()
	j, ok := f.schedules.Due(j.Project, j.Name) // as it is by now
	if !ok {
		return schedule.ErrGone
	}
	job, err := f.decodeUnattended(j.Request)
	if err != nil {
		return err
	}
	job.claim = claim
	ctx, unlock := f.gate.Locked(ctx, nil, job.request.Locked)
	defer unlock()
	plan, err := f.plan(ctx, job)
	if err != nil {
		return err
	}
	kept, err := f.images.Keep(ctx, plan.Kept())
	if err != nil {
		return err
	}
	defer kept()
	job.order.Plan = plan
	if err := walk.Plan(ctx, plan, &executor{engine: f.Engine, job: job}, walkLimit(), time.Now, func(planner.Event) {}); err != nil {
		return err
	}
	if err := f.runner.RemoveOneOff(ctx, j.Project, name); err != nil {
		return err
	}
	if err := f.store.Flush(); err != nil {
		return fmt.Errorf("cannot keep the fire: %w", err)
	}
	if _, err = f.runner.CreateOneOff(context.WithoutCancel(ctx), job.oneOff(j.Name, name), job.project.Places, true); err != nil {
		return err
	}
	if err := f.store.Flush(); err != nil { // the run goes on, and its end is to be told
		f.log.Warn("cannot keep what a run of a job is", "container", name, "error", err)
	}
	return nil
}

// decodeUnattended reads a request that the engine kept itself.
func (e *Engine) decodeUnattended(doc []byte) (*job, error) {
	req, kept := &api.ApplyRequest{}, planner.Options{}
	if err := proto.Unmarshal(doc, req); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(req.Options, &kept); err != nil {
		return nil, err
	}
	j, err := e.decode(req)
	if err != nil {
		return nil, err
	}
	if len(req.Payloads) > 0 { // those that the engine keeps; the runner knows where it finds the others
		e.keepPayloads(j, req.Payloads)
	}
	if kept.Files != nil {
		maps.Copy(kept.Files, j.options.Files)
		j.options.Files = kept.Files
	}
	return j, nil
}

// oneOff is what a container of a service beside its replicas is made from.
func (j *job) oneOff(service, name string) assembly.Request {
	return assembly.Request{
		Project: j.project.Name, Separator: j.project.Separator(), Service: service, Name: name, OneOff: true,
		Image: j.project.ImageName(service), Applied: planner.Wanted(j.project, service, j.options.Files),
		WorkingDir: j.project.WorkingDir, Files: j.project.Files,
	}
}

// oneOff is a container of a name beside the replicas; nil if there is none.
func (e *Engine) oneOff(project, name string) *planner.Container {
	for _, c := range e.runner.Containers(project) {
		if c.OneOff && c.Name == name {
			return &c
		}
	}
	return nil
}

// await returns when something holds of a project's containers.
func (e *Engine) await(ctx context.Context, project string, holds func() bool) error {
	waits, cancel := context.WithCancel(ctx)
	defer cancel()
	look := func() {
		if holds() {
			cancel()
		}
	}
	e.runner.Watch(waits, project, func(planner.Container, bool) { look() }, look)
	return context.Cause(ctx)
}

// oldRuns are the containers of a job's runs but for the last that ended, of which one has
// just done so: the next engine is to find that one, if this one does not come to note it.
// Those of fires yet to come, by a clock that was ahead, are none of the last.
func oldRuns(all []planner.Container, j schedule.Job, last string, now time.Time) []planner.Container {
	ended := slices.DeleteFunc(slices.Clone(all), func(c planner.Container) bool {
		_, isRun := schedule.FireOf(j.Project, j.Name, c.Name)
		return !c.OneOff || c.Service != j.Name || c.State != planner.Exited || !isRun || c.Name == last
	})
	order := func(c planner.Container) int {
		if at, _ := schedule.FireOf(j.Project, j.Name, c.Name); at.After(now) {
			return 0
		}
		return 1
	}
	slices.SortFunc(ended, func(a, b planner.Container) int {
		return cmp.Or(order(a)-order(b), a.CreatedAt.Compare(b.CreatedAt))
	})
	return ended[:max(0, len(ended)-(keptRuns-1))]
}

// dropOldRuns removes the containers of runs that are not kept, when one has ended.
func (e *Engine) dropOldRuns(ctx context.Context, j schedule.Job, last string) {
	_, now := e.schedules.Of(j.Project)
	for _, c := range oldRuns(e.runner.Containers(j.Project), j, last, now) {
		if err := e.runner.RemoveOneOff(ctx, j.Project, c.Name); err != nil {
			e.log.Warn("cannot remove an old run of a job", "container", c.Name, "error", err)
		}
	}
}

// observe takes a snapshot of a project, with its schedules. The project's document may be nil.
func (e *Engine) observe(ctx context.Context, project string, p *spec.Project) (*planner.Observed, error) {
	o, err := e.runner.Observe(ctx, project, p, e.inputsOf(ctx))
	if err == nil {
		o.Schedules, o.Clock = e.schedules.Of(project)
	}
	return o, err
}

// watchJobs sends what happens to the scheduled jobs of a project.
func (e *Engine) watchJobs(ctx context.Context, project string, send func(*api.ContainerChange)) {
	hide := e.runner.Mask(project).Text
	e.schedules.Watch(ctx, project, func(ev schedule.Event) {
		send(&api.ContainerChange{Job: &api.JobEvent{
			Job: ev.Job, Action: ev.Action, AtUnixMs: ev.At.UnixMilli(), FireUnixMs: ev.Fire.UnixMilli(),
			Container: ev.Run.Container, ExitCode: int32(ev.Run.ExitCode), Text: hide(ev.Text),
		}})
	})
}

// noteSchedules adds to projects what is scheduled of them, and those that have nothing else.
func (e *Engine) noteSchedules(by map[string]*api.ProjectInfo, add func(*api.ProjectInfo)) {
	jobs, now := e.schedules.Jobs()
	for _, j := range jobs {
		if by[j.Project] == nil {
			add(&api.ProjectInfo{Name: j.Project, Files: j.Files, WorkingDir: j.Dir, CreatedUnixMs: j.Created.UnixMilli()})
		}
		next, info := j.Next(now), by[j.Project]
		if next.IsZero() {
			continue // with its stack
		}
		info.Scheduled++
		if info.NextFireUnixMs == 0 || next.UnixMilli() < info.NextFireUnixMs {
			info.NextFireUnixMs = next.UnixMilli()
		}
	}
}

// jobImages are the images of the jobs that the engine runs.
func (e *Engine) jobImages() (refs []string) {
	jobs, _ := e.schedules.Jobs()
	for _, j := range jobs {
		if j.Applied != nil && j.Applied.Service != nil {
			refs = append(refs, cmp.Or(j.Applied.Service.Image, j.Project+"-"+j.Name), j.Project+"_"+j.Name) // see spec.Project.Separator
		}
	}
	return refs
}
