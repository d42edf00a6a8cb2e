package engine

import (
	"context"
	"maps"
	"os"
	"slices"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/engine/collector"
	"github.com/orlop/orlop/engine/heap"
	"github.com/orlop/orlop/runner"
	"github.com/orlop/orlop/runner/instance"
)

// projectOf is the project that a message of the API is about, or "".
func projectOf(m any) string {
	switch of := m.(type) {
	case *api.ProcessInput:
		return of.GetStart().GetProject()
	case interface{ GetProject() string }:
		return of.GetProject()
	}
	return ""
}

// enter notes that a command is about a project.
func (e *Engine) enter(project string) {
	e.mu.Lock()
	e.callers[project]++
	e.mu.Unlock()
	e.instances.Use(project)
}

// leave ends what enter began: the project was used until now.
func (e *Engine) leave(project string) {
	e.mu.Lock()
	if e.callers[project]--; e.callers[project] == 0 {
		delete(e.callers, project)
	}
	e.mu.Unlock()
	e.instances.Use(project)
}

// inUse says that a command is about a project now, or may come back to it.
func (e *Engine) inUse(project string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.callers[project] > 0 || e.held[project] != nil
}

// noteInstance keeps that a project is an instance which is being applied.
func (e *Engine) noteInstance(j *job) {
	var images []string
	for _, name := range slices.AppendSeq(j.project.ScheduledWork(), maps.Keys(j.project.Services)) {
		if j.project.OwnsImage(name) {
			images = append(images, j.project.ImageName(name))
		}
	}
	e.instances.Note(instance.Instance{
		Project: j.order.Project, Name: j.project.Instance, WorkingDir: j.order.WorkingDir, Files: j.order.Files, Images: images,
	})
}

// hasImage says whether an image is here, also where that can't be told.
func (e *Engine) hasImage(ctx context.Context) func(ref string) bool {
	return func(ref string) bool {
		digest, err := e.images.Digest(ctx, ref)
		return err != nil || digest != ""
	}
}

// forgetGone forgets what is kept of a project that nothing is left of: its
// secrets, and that it is an instance. The caller holds the project's lock.
func (e *Engine) forgetGone(ctx context.Context, project string) {
	observed, err := e.observe(ctx, project, nil)
	if err != nil {
		e.log.Warn("cannot tell what is left of a project", "project", project, "error", err)
		return
	}
	if len(observed.Containers)+len(observed.Schedules) == 0 {
		e.runner.ForgetPayloads(project)
		e.store.Delete(bucketWarned, project)
		e.history.Forget(project)
		e.work.Run(heap.Wipe)
	}
	e.instances.Forget(project, observed, e.hasImage(ctx))
}

// Projects lists the projects that something exists of.
func (s *server) Projects(ctx context.Context, req *api.ProjectsRequest) (*api.ProjectsReply, error) {
	reply := &api.ProjectsReply{Projects: s.projectInfos()}
	for _, p := range reply.Projects {
		p.Images = s.instances.Images(p.Name, s.hasImage(ctx))
		if !req.DiskUse {
			continue
		}
		var err error
		if p.DiskBytes, err = s.runner.Inventory().DiskUse(ctx, p.Name); err != nil {
			return nil, err
		}
	}
	return reply, nil
}

// collector removes what nobody uses, as the settings say.
func (e *Engine) collector(kept collector.Images) *collector.Collector {
	return &collector.Collector{
		Root: e.cfg.Root, Images: kept, Store: e.images, Notes: e.store, Instances: e.instances.List, Log: e.log,
		First: os.Getenv(collector.FirstVariable), Now: time.Now, After: time.After,
		Control: func(ctx context.Context) (controlapi.ControlClient, error) {
			if err := e.needKit(ctx); err != nil {
				return nil, err
			}
			return e.kit.Control(), nil
		},
	}
}

// projectInfos joins the projects that have containers and the instances.
func (e *Engine) projectInfos() []*api.ProjectInfo {
	var list []*api.ProjectInfo
	by := map[string]*api.ProjectInfo{}
	add := func(info *api.ProjectInfo) {
		info.InUse = e.inUse(info.Name)
		list = append(list, info)
		by[info.Name] = info
	}
	for _, p := range e.runner.Projects() {
		add(&api.ProjectInfo{
			Name: p.Name, Running: int32(p.Running), Paused: int32(p.Paused), Exited: int32(p.Exited), Restarting: int32(p.Restarting), Created: int32(p.Created), Files: p.Files, WorkingDir: p.WorkingDir,
			CreatedUnixMs: p.Since.UnixMilli(),
		})
	}
	for _, i := range e.instances.List() {
		if by[i.Project] == nil {
			add(&api.ProjectInfo{Name: i.Project, Files: i.Files, WorkingDir: i.WorkingDir})
		}
		info := by[i.Project]
		info.Instance, info.CreatedUnixMs, info.UsedUnixMs = i.Name, i.Created.UnixMilli(), i.Used.UnixMilli()
	}
	e.noteSchedules(by, add)
	return list
}

// abandoned are the instances that no command is about and that none was about
// for a while: only of those wanted, or of all if none are named. Those that run
// are left, unless they are wanted too. A project that is no instance is never
// among them.
func abandoned(all []*api.ProjectInfo, req *api.CollectRequest, now time.Time) (out, left []*api.ProjectInfo) {
	olderThan := time.Duration(req.OlderThanMs) * time.Millisecond
	for _, p := range all {
		switch {
		case p.Instance == "" || p.InUse:
		case len(req.Projects) > 0 && !slices.Contains(req.Projects, p.Name):
		case now.Sub(time.UnixMilli(p.UsedUnixMs)) < olderThan:
		case p.Running+p.Scheduled > 0 && !req.Running:
			left = append(left, p)
		default:
			out = append(out, p)
		}
	}
	return out, left
}

// Collect removes the instances that nobody has used for a while.
func (s *server) Collect(ctx context.Context, req *api.CollectRequest) (*api.CollectReply, error) {
	reply := &api.CollectReply{}
	var found []*api.ProjectInfo
	found, reply.Left = abandoned(s.projectInfos(), req, time.Now())
	for _, p := range found {
		bytes, err := s.runner.Inventory().DiskUse(ctx, p.Name)
		if err != nil {
			return nil, err
		}
		p.Images = s.instances.Images(p.Name, s.hasImage(ctx))
		if !req.DryRun {
			s.log.Info("an abandoned instance is removed", "project", p.Name)
			usedMeanwhile := func() bool {
				still, _ := abandoned(s.projectInfos(), &api.CollectRequest{OlderThanMs: req.OlderThanMs, Projects: []string{p.Name}, Running: req.Running}, time.Now())
				return len(still) == 0
			}
			removed, err := s.removeProject(context.WithoutCancel(ctx), newClaim(ctx, "gc", p.Name), runner.Grace{}, usedMeanwhile)
			if err != nil {
				return nil, err
			}
			if !removed {
				continue
			}
		}
		p.DiskBytes = bytes
		reply.DiskBytes += bytes
		reply.Projects = append(reply.Projects, p)
	}
	return reply, s.store.Flush()
}
