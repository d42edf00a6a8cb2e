// Package schedule has jobs run when it is time: it keeps which there are, decides what
// becomes of each fire, and says so. How a run is made it does not know.
package schedule

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// Job is a job that is run when it is time, as it is kept.
type Job struct {
	Project string           `json:"project"`
	Name    string           `json:"name"`
	Applied *planner.Applied `json:"applied"` // its service's triggers say when
	Request []byte           `json:"request"` // what a run of it needs, for who makes it
	Dir     string           `json:"dir,omitempty"`
	Files   []string         `json:"files,omitempty"`  // of the stack
	Created time.Time        `json:"created,omitzero"` // when it was scheduled first
	Paused  bool             `json:"paused,omitempty"`
	Since   time.Time        `json:"since"`             // what fired by then is decided
	Waiting []time.Time      `json:"waiting,omitempty"` // fires to be run, in order: the first one's run goes on, or is made
	Last    *planner.Run     `json:"last,omitempty"`    // that has ended
	Begun   time.Time        `json:"-"`                 // the fire whose run an engine before this one may have made
}

// What happens to a job, as Event.Action.
const (
	Fired   = "fire"   // a run begins, or is to begin
	Skipped = "skip"   // there is none, for one goes on
	Missed  = "miss"   // there is none, for no engine was there
	Ended   = "end"    // a run has ended with code 0
	Failed  = "failed" // with another one, or it could not be made
)

// Event is something that happened to a job.
type Event struct {
	At      time.Time
	Project string
	Job     string
	Action  string
	Fire    time.Time
	Run     planner.Run // of one that has ended
	Text    string      // why
}

const (
	// onTime is how long after its time a fire still is no missed one.
	onTime = time.Minute
	// setBack is by how much a clock may be set back for its fires not to come again, as
	// cron has it. One that is set back further was wrong before.
	setBack = 3 * time.Hour
	// mostWaiting are a run that goes on, and one that waits for its end.
	mostWaiting = 2
)

func (j *Job) schedules() []spec.Schedule { return j.Applied.Service.Schedules() }

// Next is the next fire; zero if there is none.
func (j *Job) Next(now time.Time) time.Time {
	if j.Paused {
		return time.Time{}
	}
	since := j.Since
	if since.After(now.Add(setBack)) {
		since = now
	}
	return spec.NextFire(j.schedules(), since.In(now.Location()))
}

// fire is a time at which a job is due.
type fire struct {
	at      time.Time
	isQueue bool // it waits for a run that goes on
}

// decide decides what becomes of the fires until now, and says so. Schedules without a
// time zone have that of now. isBusy says that the job runs though no fire made it.
func (j *Job) decide(now time.Time, isBusy bool) (events []Event) {
	switch {
	case j.Paused:
		j.Since = now
		return nil
	case j.Since.After(now.Add(setBack)):
		j.Since = now
	case j.Since.After(now):
		return nil
	}
	due, events := j.due(now)
	for _, f := range due {
		isGoing := isBusy || len(j.Waiting) > 0
		switch {
		case isGoing && !f.isQueue:
			events = append(events, j.event(now, Skipped, f.at, "a run goes on"))
		case len(j.Waiting) >= mostWaiting:
			events = append(events, j.event(now, Skipped, f.at, "a run goes on, and one waits for its end"))
		default:
			text := ""
			if isGoing {
				text = "it waits for the run that goes on"
			}
			j.Waiting = append(j.Waiting, f.at)
			events = append(events, j.event(now, Fired, f.at, text))
		}
	}
	j.Since = now
	return events
}

// due are the fires that are to be run. Those that come at once are one; of those that
// were missed a schedule makes good for one or none, and for none if it is on time now.
func (j *Job) due(now time.Time) (due []fire, events []Event) {
	for _, s := range j.schedules() {
		first := s.Next(j.Since.In(now.Location()))
		if first.IsZero() || first.After(now) {
			continue
		}
		at := first
		if late := now.Add(-onTime); !first.After(late) {
			switch current := s.Next(late.In(now.Location())); {
			case !current.IsZero() && !current.After(now):
				at = current
			case s.MissedFires == spec.MissedSkip:
				events = append(events, j.event(now, Missed, first, "no engine was there"))
				continue
			}
		}
		isQueue := s.Concurrency == spec.ConcurrencyQueue
		if i := slices.IndexFunc(due, func(f fire) bool { return f.at.Equal(at) }); i >= 0 {
			due[i].isQueue = due[i].isQueue || isQueue
			continue
		}
		due = append(due, fire{at: at, isQueue: isQueue})
	}
	slices.SortFunc(due, func(a, b fire) int { return a.at.Compare(b.at) })
	return due, events
}

func (j *Job) event(now time.Time, action string, at time.Time, text string) Event {
	return Event{At: now, Project: j.Project, Job: j.Name, Action: action, Fire: at, Text: text}
}

// observed is the job as plans and displays see it.
func (j *Job) observed(now time.Time) planner.Schedule {
	s := planner.Schedule{Applied: j.Applied, Paused: j.Paused, Next: j.Next(now), Running: len(j.Waiting) > 0}
	if j.Last != nil {
		last := *j.Last
		last.Fire = last.Fire.In(now.Location())
		s.Last = &last
	}
	return s
}

// fireFormat is how the name of a run's container tells its fire.
const fireFormat = "20060102t1504z"

// RunName is the name of the container of a fire's run. One fire has one run.
func RunName(project, job string, at time.Time) string {
	return fmt.Sprintf("%s-%s-run-%s", project, job, at.UTC().Format(fireFormat))
}

// FireOf is the fire whose run has a container of a name; false where the name is no such.
func FireOf(project, job, container string) (time.Time, bool) {
	text, ok := strings.CutPrefix(container, fmt.Sprintf("%s-%s-run-", project, job))
	at, err := time.Parse(fireFormat, text)
	return at, ok && err == nil
}
