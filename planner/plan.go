// Package planner decides what must change: from a project and a snapshot of
// what exists it makes a plan, a directed acyclic graph of steps, each with
// its reason; and it walks a plan, handing each step to an executor when all
// that it needs is done. It does no input or output of its own.
package planner

import (
	"slices"
	"strings"

	"github.com/orlop/orlop/planner/difference"
	"github.com/orlop/orlop/spec"
)

// Action is what a step does to its resource.
type Action string

// The actions. Each changes one resource, but Await, which waits for one.
const (
	Pull          Action = "pull"
	Build         Action = "build"
	Push          Action = "push" // of an image to its registry; in no plan that converges a project
	CreateNetwork Action = "create-network"
	UpdateNetwork Action = "update-network" // its labels, in place
	AttachNetwork Action = "attach-network" // a container to a network that was made anew under it
	RemoveNetwork Action = "remove-network"
	CreateVolume  Action = "create-volume"
	UpdateVolume  Action = "update-volume" // its labels, in place
	RemoveVolume  Action = "remove-volume"
	RemoveImage   Action = "remove-image"
	Init          Action = "init"     // a container of pre_start, which runs to completion
	Create        Action = "create"   // a container that does not exist yet; started too unless Step.NoStart
	Replace       Action = "replace"  // a container that was made from another document or image
	Rollback      Action = "rollback" // of a container whose update failed: what it was before takes its place
	Update        Action = "update"   // a container, in place, without a restart
	Start         Action = "start"
	Restart       Action = "restart"
	Stop          Action = "stop"
	Kill          Action = "kill"
	Remove        Action = "remove"
	Pause         Action = "pause" // all processes of a container stand still
	Unpause       Action = "unpause"
	Await         Action = "await"
	Apply         Action = "apply"      // on a cluster: what the pods of services need
	Schedules     Action = "schedule"   // a job: the engine runs it from here on, when it is time
	Reschedule    Action = "reschedule" // a job that changed, or whose stack was stopped
	Unschedule    Action = "unschedule"
	Suspend       Action = "suspend" // a job is not run while its stack is stopped
	Resume        Action = "resume"
)

// Step is one change to one resource.
type Step struct {
	ID         string        `json:"id"` // unique in the plan and stable: "create web/1"
	Action     Action        `json:"action"`
	Resource   string        `json:"resource"` // as users see it: "web/1", "default", "redis:7"
	Service    string        `json:"service,omitempty"`
	Number     int           `json:"number,omitempty"`
	Container  string        `json:"container,omitempty"` // ID of the existing container
	Name       string        `json:"name,omitempty"`      // full name of a network or volume, reference of an image
	Platform   string        `json:"platform,omitempty"`  // of Pull; "" is the machine's own
	Condition  string        `json:"condition,omitempty"` // of Await
	Reasons    []Reason      `json:"reasons,omitempty"`
	Needs      []string      `json:"needs,omitempty"`      // IDs of steps that must have succeeded
	After      []string      `json:"after,omitempty"`      // IDs of steps that must have ended, well or not
	IfChanged  bool          `json:"if_changed,omitempty"` // void if what it follows (its image, or for Restart a replacement) turns out unchanged
	Otherwise  Action        `json:"otherwise,omitempty"`  // with IfChanged: what is done instead then
	Optional   bool          `json:"optional,omitempty"`   // of Await: nobody needs it, so that its failure is none of the plan's
	Undoes     string        `json:"undoes,omitempty"`     // of Rollback: ID of the step that it takes back
	IfFailed   []string      `json:"if_failed,omitempty"`  // of a rollback: IDs of steps, void unless one of them failed
	Batch      *Batch        `json:"batch,omitempty"`      // of Await: what has been replaced is watched before the rest is
	NoStart    bool          `json:"no_start,omitempty"`   // of Schedules too: it is not run yet
	Overlap    bool          `json:"overlap,omitempty"`    // of Replace: the old container runs until the new one is ready
	Signal     string        `json:"signal,omitempty"`
	Note       string        `json:"note,omitempty"` // how it is done, in a few words, where that is not the usual way
	Index      int           `json:"-"`              // of Init: its number in pre_start
	Applied    *Applied      `json:"-"`              // what the container shall be made from
	Network    *spec.Network `json:"-"`
	Renewed    *spec.Network `json:"-"` // of CreateNetwork: what is there and is made anew; nil: nothing was there
	Containers int           `json:"-"` // of CreateNetwork: how many are to be on it
	Guests     []Guest       `json:"-"` // of CreateNetwork: whose containers are known to be on it
	Volume     *spec.Volume  `json:"-"`
	OldVolume  *spec.Volume  `json:"-"` // of CreateVolume: what is there and is made anew; nil: nothing was there
}

// Mended says what was missing that the step puts right, "" where it is for changes
// of the stack file alone.
func (s *Step) Mended() string {
	var list []string
	for _, why := range s.Reasons {
		if why.Path == "" && why.Text != "" {
			list = append(list, why.Text)
		}
	}
	return strings.Join(list, "; ")
}

// Reason is why a step is needed.
type Reason = difference.Reason

// Plan is a directed acyclic graph of steps in an order that may be walked.
type Plan struct {
	Project string   `json:"project"`
	Steps   []*Step  `json:"steps"`
	Leave   int      `json:"leave"`             // containers left as they are
	Orphans []string `json:"orphans,omitempty"` // containers of services that the file no longer has, left alone
	// EndedRuns are containers that earlier runs have left, where the plan is for another run and leaves them alone.
	EndedRuns []string `json:"ended_runs,omitempty"`
	Warnings  []string `json:"warnings,omitempty"` // what the plan can't bring about
	Limit     int      `json:"-"`                  // steps at once that the caller allows; 0: any number
	Of        string   `json:"of,omitempty"`       // what Leave counts; "" is containers

	taken map[string]bool // IDs
}

// IsEmpty says that nothing has to change.
func (p *Plan) IsEmpty() bool { return len(p.Steps) == 0 }

// Step returns the step with the given ID, or nil.
func (p *Plan) Step(id string) *Step {
	for _, s := range p.Steps {
		if s.ID == id {
			return s
		}
	}
	return nil
}

// Count says how many steps have one of the given actions.
func (p *Plan) Count(actions ...Action) int {
	n := 0
	for _, s := range p.Steps {
		if slices.Contains(actions, s.Action) {
			n++
		}
	}
	return n
}

// Masked is the plan with hide applied to all that may hold a value of the
// user's. Names stay: they are the stack file's.
func (p *Plan) Masked(hide func(string) string) *Plan {
	out := *p
	out.Warnings, out.Steps = masked(p.Warnings, hide), slices.Clone(p.Steps)
	for i, s := range p.Steps {
		step := *s
		step.Reasons = slices.Clone(s.Reasons)
		for j := range step.Reasons {
			r := &step.Reasons[j]
			r.From, r.To, r.Text = hide(r.From), hide(r.To), hide(r.Text)
		}
		out.Steps[i] = &step
	}
	return &out
}

func masked(texts []string, hide func(string) string) []string {
	out := slices.Clone(texts)
	for i := range out {
		out[i] = hide(out[i])
	}
	return out
}

// add appends a step under an ID of its own. Two containers of one number get
// told apart by the container's ID.
func (p *Plan) add(s *Step) *Step {
	if p.taken == nil {
		p.taken = map[string]bool{}
	}
	s.ID = string(s.Action) + " " + s.Resource
	if p.taken[s.ID] {
		s.ID += " " + s.Container
	}
	if p.taken[s.ID] { // to another network
		s.ID += " " + s.Name
	}
	p.taken[s.ID] = true
	s.Needs = compact(s.Needs)
	s.After = compact(s.After)
	p.Steps = append(p.Steps, s)
	return s
}

// insert adds a step before the one at an index.
func (p *Plan) insert(at int, s *Step) *Step {
	p.add(s)
	p.Steps = slices.Insert(p.Steps[:len(p.Steps)-1], at, s)
	return s
}

func compact(ids []string) []string {
	slices.Sort(ids)
	return slices.Compact(ids)
}
