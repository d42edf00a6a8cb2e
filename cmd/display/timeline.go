package display

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// timeline is when each step began and ended, of one progress or of several
// that follow each other. It is fed by events and looks at no clock.
type timeline struct {
	verb      string
	project   string
	began     time.Time // of the command
	planned   time.Time // the first step began
	ended     time.Time
	ok        bool
	stretches []*stretch
	byID      map[string]*stretch
	newest    map[string]*stretch // by the ID in the newest plan that has it
}

// stretch is the time of one step.
type stretch struct {
	id        string // unique: a step that a later plan has again gets a number
	action    planner.Action
	resource  string
	service   string
	condition string    // of Await
	needs     []string  // IDs of what it waited for
	known     time.Time // when it was planned; zero: at the beginning
	began     time.Time
	ended     time.Time
	outcome   planner.Outcome
	text      string // of a failure
	parts     []planner.Part
}

func newTimeline(verb string, began time.Time) *timeline {
	return &timeline{verb: verb, began: began, byID: map[string]*stretch{}, newest: map[string]*stretch{}}
}

func (t *timeline) add(s *stretch) *stretch {
	t.newest[s.id] = s
	for id, n := s.id, 2; t.byID[s.id] != nil; n++ {
		s.id = fmt.Sprintf("%s (%d)", id, n)
	}
	t.stretches = append(t.stretches, s)
	t.byID[s.id] = s
	return s
}

// setPlan takes in the steps of a plan. One that follows another waits for it.
func (t *timeline) setPlan(p *planner.Plan) {
	t.project = p.Project
	before := t.last()
	for _, s := range p.Steps {
		t.add(&stretch{id: s.ID, action: s.Action, resource: s.Resource, service: s.Service, condition: s.Condition})
	}
	for _, s := range p.Steps {
		kept := t.newest[s.ID]
		for _, id := range slices.Concat(s.Needs, s.After) {
			if on := t.newest[id]; on != nil {
				id = on.id
			}
			kept.needs = append(kept.needs, id)
		}
		kept.follow(before)
	}
}

// follow makes a step wait for what was done before its plan.
func (s *stretch) follow(before *stretch) {
	if before == nil {
		return
	}
	s.known = before.ended
	if len(s.needs) == 0 {
		s.needs = []string{before.id}
	}
}

// begin adds a step of the verb's own, outside of any plan.
func (t *timeline) begin(action planner.Action, name string, at time.Time) *stretch {
	if t.planned.IsZero() {
		t.planned = at
	}
	before := t.last()
	s := t.add(&stretch{id: string(action) + " " + name, action: action, resource: name, began: at})
	s.follow(before)
	return s
}

func (t *timeline) apply(e planner.Event) {
	s := t.newest[e.Step]
	if s == nil {
		s = t.add(&stretch{id: e.Step, action: e.Action, resource: e.Resource, service: e.Service})
	}
	if s.began.IsZero() {
		s.began = e.Time
	}
	if t.planned.IsZero() {
		t.planned = e.Time
	}
	switch e.Kind {
	case planner.Started, planner.Warned:
	case planner.Progressed:
		if e.Part != nil {
			s.parts = append(s.parts, *e.Part)
		}
	default:
		s.ended, s.outcome = e.Time, e.Kind
		if e.Kind == planner.Failed {
			s.text = e.Text
		}
	}
	if e.Time.After(t.ended) {
		t.ended = e.Time
	}
}

// leg is a part of the critical path: nothing but it went on being waited for.
type leg struct {
	what  string
	began time.Time
	took  time.Duration
	parts []planner.Part
}

// shortest is what counts as time at all on a critical path.
const shortest = 5 * time.Millisecond

// criticalPath is the chain of steps that decided how long it took: from the
// step that ended last, back over what each waited for longest.
func (t *timeline) criticalPath() []leg {
	var path []leg
	at := t.last()
	for seen := 0; at != nil && seen <= len(t.stretches); seen++ {
		path = append(path, leg{what: at.words(), began: at.began, took: at.ended.Sub(at.began), parts: at.parts})
		before, since := t.latest(at.needs), t.planned
		if before != nil {
			since = before.ended
		}
		if gap := at.began.Sub(since); gap >= shortest {
			path = append(path, leg{what: t.idle(at, since), began: since, took: gap})
		}
		at = before
	}
	if took := t.planned.Sub(t.began); took >= shortest {
		path = append(path, leg{what: "planning", began: t.began, took: took})
	}
	slices.Reverse(path)
	return slices.DeleteFunc(path, func(l leg) bool { return l.took < shortest })
}

// idle says what a step waited for that nothing kept from beginning since a
// time: only so many steps are carried out at once.
func (t *timeline) idle(s *stretch, since time.Time) string {
	others := 0
	for _, o := range t.stretches {
		if o != s && o.action != planner.Await && !o.began.IsZero() && !o.began.After(since) && !o.ended.Before(s.began) {
			others++
		}
	}
	if others == 0 {
		return "waiting to begin"
	}
	return "queued behind " + spec.Plural(others, "other step")
}

// last is the step that ended last.
func (t *timeline) last() *stretch {
	var last *stretch
	for _, s := range t.stretches {
		if !s.ended.IsZero() && (last == nil || s.ended.After(last.ended)) {
			last = s
		}
	}
	return last
}

func (t *timeline) latest(ids []string) *stretch {
	var latest *stretch
	for _, id := range ids {
		if s := t.byID[id]; s != nil && !s.ended.IsZero() && (latest == nil || s.ended.After(latest.ended)) {
			latest = s
		}
	}
	return latest
}

// What a verb does outside of plans.
const (
	ActionTest    planner.Action = "test"
	ActionCollect planner.Action = "collect"
)

// words are what a step did, in a sentence that begins with a time.
func (s *stretch) words() string {
	doing := map[planner.Action]string{
		planner.Build: "building", planner.Pull: "pulling", planner.Push: "pushing", planner.Create: "starting", planner.Replace: "replacing", planner.Rollback: "rolling back",
		planner.Update: "changing", planner.Start: "starting", planner.Restart: "restarting", planner.Stop: "stopping",
		planner.Kill: "killing", planner.Remove: "removing", planner.Pause: "pausing", planner.Unpause: "resuming", planner.CreateNetwork: "creating network",
		planner.CreateVolume: "creating volume", planner.RemoveNetwork: "removing network",
		planner.UpdateNetwork: "changing network", planner.AttachNetwork: "attaching", planner.UpdateVolume: "changing volume",
		planner.RemoveVolume: "removing volume", planner.RemoveImage: "removing image",
		planner.Schedules: "scheduling", planner.Reschedule: "scheduling", planner.Unschedule: "unscheduling", planner.Suspend: "suspending", planner.Resume: "resuming",
		ActionTest: "running", ActionCollect: "collecting",
	}
	if s.action != planner.Await {
		return cmp.Or(doing[s.action], string(s.action)) + " " + s.resource
	}
	become := "ready"
	switch s.condition {
	case spec.ServiceHealthy:
		become = "healthy"
	case spec.ServiceCompleted:
		return "waiting for " + s.service + " to complete"
	case spec.ServiceStarted:
		return "waiting for " + s.service + " to start"
	}
	return "waiting for " + s.service + " to be " + become
}

// spent names the legs of a critical path that matter, at most n of them, the
// longest first: "4.1 s building api, 1.3 s waiting for db to be healthy".
func spent(path []leg, n int) string {
	path = slices.DeleteFunc(slices.Clone(path), func(l leg) bool { return l.took < 500*time.Millisecond })
	slices.SortStableFunc(path, func(x, y leg) int { return cmp.Compare(y.took, x.took) })
	var parts []string
	for _, l := range path[:min(n, len(path))] {
		parts = append(parts, Seconds(l.took)+" "+l.what)
	}
	return strings.Join(parts, ", ")
}
