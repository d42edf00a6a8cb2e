package engine

import (
	"context"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/engine/history"
	"github.com/orlop/orlop/engine/schedule"
)

// record remembers what happens until the engine ends.
func (e *Engine) record() {
	e.history = history.New(e.runner)
	e.work.Run(func() { e.history.Record(e.ctx) })
	e.work.Run(func() {
		e.schedules.Watch(e.ctx, "", func(ev schedule.Event) {
			e.history.Job(history.Job{
				Project: ev.Project, Name: ev.Job, Action: ev.Action, At: ev.At, Fire: ev.Fire, Container: ev.Run.Container, ExitCode: ev.Run.ExitCode, Text: ev.Text,
			})
		})
	})
}

// past serves what is remembered.
type past struct {
	api.UnimplementedHistoryServer
	engine *Engine
}

// Past gives what has happened in a project, without its secrets.
func (p *past) Past(_ context.Context, req *api.PastRequest) (*api.PastReply, error) {
	if req.Project == "" {
		return nil, errNoProject
	}
	var since time.Time
	if req.SinceUnixNs != 0 {
		since = time.Unix(0, req.SinceUnixNs)
	}
	hide := p.engine.runner.Mask(req.Project).Text
	reply := &api.PastReply{}
	lines, cut := p.engine.history.Past(req.Project, since)
	reply.Cut = cut
	for _, e := range p.engine.history.Failed(req.Project) {
		reply.Failed = append(reply.Failed, api.NewEvent(e.Masked(hide)))
	}
	for _, l := range lines {
		h := &api.Happening{TimeUnixNs: l.Time.UnixNano(), Type: l.Type, Action: l.Action, Id: l.ID, Service: l.Service, Attributes: map[string]string{}}
		for key, value := range l.Attributes {
			h.Attributes[key] = api.Valid(hide(value))
		}
		reply.Happenings = append(reply.Happenings, h)
	}
	return reply, nil
}
