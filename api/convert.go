package api

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// Of each kind that crosses the socket there is a New function, which makes a
// message of the planner's value, and a method Planner, which makes the value of
// the message. What neither side shows is left out: see planner's own types. Texts
// that programs have printed are made valid UTF-8, without which a message can't be
// sent.

// NewPlan is a plan as a message.
func NewPlan(p *planner.Plan) *Plan {
	out := &Plan{Project: p.Project, Leave: int32(p.Leave), Orphans: p.Orphans, EndedRuns: p.EndedRuns, Warnings: validAll(p.Warnings), Of: p.Of}
	for _, s := range p.Steps {
		out.Steps = append(out.Steps, newStep(s))
	}
	return out
}

func newStep(s *planner.Step) *Step {
	out := &Step{
		Id: s.ID, Action: string(s.Action), Resource: s.Resource, Service: s.Service, Number: int32(s.Number), Container: s.Container,
		Name: s.Name, Condition: s.Condition, Needs: s.Needs, After: s.After, IfChanged: s.IfChanged, Otherwise: string(s.Otherwise),
		Optional: s.Optional, NoStart: s.NoStart, Overlap: s.Overlap, Signal: s.Signal, Platform: s.Platform,
		Undoes: s.Undoes, IfFailed: s.IfFailed, Note: s.Note,
	}
	if b := s.Batch; b != nil {
		out.Batch = &Batch{
			Of: int32(b.Of), MonitorNs: int64(b.Monitor), DelayNs: int64(b.Delay), Ratio: b.Ratio, Goes: b.Goes, Returns: b.Returns, Undoes: b.Undoes,
		}
		for _, n := range b.Numbers {
			out.Batch.Numbers = append(out.Batch.Numbers, int32(n))
		}
	}
	for _, r := range s.Reasons {
		reason := &Reason{Path: Valid(r.Path), From: Valid(r.From), To: Valid(r.To), Text: Valid(r.Text)}
		if r.Place != (spec.Place{}) {
			reason.Place = &Place{File: r.Place.File, Line: int32(r.Place.Line), Column: int32(r.Place.Column)}
		}
		out.Reasons = append(out.Reasons, reason)
	}
	return out
}

// Planner is the plan that the message holds.
func (p *Plan) Planner() *planner.Plan {
	out := &planner.Plan{Project: p.GetProject(), Steps: []*planner.Step{}, Leave: int(p.GetLeave()), Orphans: p.GetOrphans(), EndedRuns: p.GetEndedRuns(), Warnings: p.GetWarnings(), Of: p.GetOf()}
	for _, s := range p.GetSteps() {
		out.Steps = append(out.Steps, s.planner())
	}
	return out
}

func (s *Step) planner() *planner.Step {
	out := &planner.Step{
		ID: s.Id, Action: planner.Action(s.Action), Resource: s.Resource, Service: s.Service, Number: int(s.Number), Container: s.Container,
		Name: s.Name, Condition: s.Condition, Needs: s.Needs, After: s.After, IfChanged: s.IfChanged, Otherwise: planner.Action(s.Otherwise),
		Optional: s.Optional, NoStart: s.NoStart, Overlap: s.Overlap, Signal: s.Signal, Platform: s.Platform,
		Undoes: s.Undoes, IfFailed: s.IfFailed, Note: s.Note,
	}
	if b := s.Batch; b != nil {
		out.Batch = &planner.Batch{
			Of: int(b.Of), Monitor: time.Duration(b.MonitorNs), Delay: time.Duration(b.DelayNs), Ratio: b.Ratio, Goes: b.Goes, Returns: b.Returns, Undoes: b.Undoes,
		}
		for _, n := range b.Numbers {
			out.Batch.Numbers = append(out.Batch.Numbers, int(n))
		}
	}
	for _, r := range s.Reasons {
		place := spec.Place{File: r.Place.GetFile(), Line: int(r.Place.GetLine()), Column: int(r.Place.GetColumn())}
		out.Reasons = append(out.Reasons, planner.Reason{Path: r.Path, From: r.From, To: r.To, Text: r.Text, Place: place})
	}
	return out
}

// NewEvent is an event as a message.
func NewEvent(e planner.Event) *Event {
	out := &Event{
		TimeUnixNs: unixNano(e.Time), Step: e.Step, Action: string(e.Action), Resource: e.Resource, Service: e.Service, Kind: string(e.Kind),
		TookNs: int64(e.Took), Text: Valid(e.Text), Lines: validAll(e.Lines), Current: e.Current, Total: e.Total, Cause: e.Cause,
	}
	if p := e.Part; p != nil {
		out.Part = &Part{Name: Valid(p.Name), BeganUnixNs: unixNano(p.Began), EndedUnixNs: unixNano(p.Ended), Cached: p.Cached, Error: Valid(p.Error)}
	}
	return out
}

// Planner is the event that the message holds.
func (e *Event) Planner() planner.Event {
	out := planner.Event{
		Time: timeOf(e.GetTimeUnixNs()), Step: e.GetStep(), Action: planner.Action(e.GetAction()), Resource: e.GetResource(),
		Service: e.GetService(), Kind: planner.Outcome(e.GetKind()), Took: time.Duration(e.GetTookNs()), Text: e.GetText(), Lines: e.GetLines(),
		Current: e.GetCurrent(), Total: e.GetTotal(), Cause: e.GetCause(),
	}
	if p := e.GetPart(); p != nil {
		out.Part = &planner.Part{Name: p.Name, Began: timeOf(p.BeganUnixNs), Ended: timeOf(p.EndedUnixNs), Cached: p.Cached, Error: p.Error}
	}
	return out
}

// NewContainer is a container as a message. It is an error if the document that
// it was made from cannot be written.
func NewContainer(c planner.Container) (*Container, error) {
	out := &Container{
		Id: c.ID, Name: c.Name, Service: c.Service, Number: int32(c.Number), OneOff: c.OneOff, State: string(c.State), Health: string(c.Health),
		ExitCode: int32(c.ExitCode), OomKilled: c.OOMKilled, Stopped: c.Stopped, Restarts: int32(c.Restarts),
		CreatedUnixNs: unixNano(c.CreatedAt), StartedUnixNs: unixNano(c.StartedAt), ExitedUnixNs: unixNano(c.ExitedAt),
		NextTryUnixNs: unixNano(c.NextTry), Error: Valid(c.Error), Addresses: c.Addresses, Exposed: c.Exposed, Version: c.Version, Pid: int32(c.PID),
		Command: validAll(c.Command), LeftOut: validAll(c.LeftOut), Adrift: c.Adrift,
		Lost: validAll(c.Lost), Dead: Valid(c.Dead), Unready: c.Unready, Unsent: Valid(c.Unsent), Turned: validMap(c.Turned), Paused: c.Paused, FrozenUnixNs: unixNano(c.FrozenAt), Signal: int32(c.Signal), SignalledUnixNs: unixNano(c.SignalledAt), RestartedUnixNs: unixNano(c.RestartedAt), UpdatedUnixNs: unixNano(c.UpdatedAt), Project: c.Project, Networks: validAll(c.Networks), WorkingDir: Valid(c.WorkingDir), ConfigFiles: validAll(c.ConfigFiles),
	}
	for _, b := range c.Published {
		out.Published = append(out.Published, &Binding{
			HostIp: b.HostIP, HostPort: int32(b.HostPort), Target: int32(b.Target), Protocol: b.Protocol,
		})
	}
	if p := c.LastProbe; p != nil {
		out.LastProbe = &ProbeInfo{
			AtUnixNs: unixNano(p.At), TookNs: int64(p.Took), ExitCode: int32(p.ExitCode), Output: Valid(p.Output), Failing: int32(p.Failing),
		}
	}
	if c.Applied == nil {
		return out, nil
	}
	doc, err := json.Marshal(c.Applied)
	if err != nil {
		return nil, fmt.Errorf("internal error: cannot write what %s was made from: %w", c.Name, err)
	}
	out.Applied = doc
	return out, nil
}

// Planner is the container that the message holds. It is an error if the
// document that it was made from cannot be read.
func (c *Container) Planner() (planner.Container, error) {
	out := planner.Container{
		ID: c.GetId(), Name: c.GetName(), Service: c.GetService(), Number: int(c.GetNumber()), OneOff: c.GetOneOff(),
		State: planner.State(c.GetState()), Health: planner.Health(c.GetHealth()), ExitCode: int(c.GetExitCode()), OOMKilled: c.GetOomKilled(),
		Stopped: c.GetStopped(), Restarts: int(c.GetRestarts()), CreatedAt: timeOf(c.GetCreatedUnixNs()), StartedAt: timeOf(c.GetStartedUnixNs()),
		ExitedAt: timeOf(c.GetExitedUnixNs()), NextTry: timeOf(c.GetNextTryUnixNs()), Error: c.GetError(), Addresses: c.GetAddresses(),
		Exposed: c.GetExposed(), Version: c.GetVersion(), PID: int(c.GetPid()), Command: c.GetCommand(), LeftOut: c.GetLeftOut(), Adrift: c.GetAdrift(),
		Lost: c.GetLost(), Dead: c.GetDead(), Unready: c.GetUnready(), Unsent: c.GetUnsent(), Turned: c.GetTurned(), Paused: c.GetPaused(), FrozenAt: timeOf(c.GetFrozenUnixNs()), Signal: int(c.GetSignal()), SignalledAt: timeOf(c.GetSignalledUnixNs()), RestartedAt: timeOf(c.GetRestartedUnixNs()), UpdatedAt: timeOf(c.GetUpdatedUnixNs()), Project: c.GetProject(), Networks: c.GetNetworks(), WorkingDir: c.GetWorkingDir(), ConfigFiles: c.GetConfigFiles(),
	}
	for _, b := range c.GetPublished() {
		out.Published = append(out.Published, planner.Binding{
			HostIP: b.HostIp, HostPort: int(b.HostPort), Target: int(b.Target), Protocol: b.Protocol,
		})
	}
	if p := c.GetLastProbe(); p != nil {
		out.LastProbe = &planner.ProbeInfo{
			At: timeOf(p.AtUnixNs), Took: time.Duration(p.TookNs), ExitCode: int(p.ExitCode), Output: p.Output, Failing: int(p.Failing),
		}
	}
	if doc := c.GetApplied(); len(doc) > 0 {
		out.Applied = &planner.Applied{}
		if err := json.Unmarshal(doc, out.Applied); err != nil {
			return out, fmt.Errorf("cannot read what %s was made from: %w", out.Name, err)
		}
	}
	return out, nil
}

func validMap(all map[string]string) map[string]string {
	if all == nil {
		return nil
	}
	out := make(map[string]string, len(all))
	for key, value := range all {
		out[Valid(key)] = Valid(value)
	}
	return out
}

// Valid is a text with U+FFFD in the place of what is not UTF-8.
func Valid(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }

func validAll(texts []string) []string {
	for i, text := range texts {
		if !utf8.ValidString(text) {
			texts = slices.Clone(texts)
			for j := i; j < len(texts); j++ {
				texts[j] = Valid(texts[j])
			}
			return texts
		}
	}
	return texts
}

// unixNano is a time in nanoseconds since 1970; 0 stands for none.
func unixNano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func timeOf(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}
