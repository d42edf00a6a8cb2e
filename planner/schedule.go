package planner

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/orlop/orlop/planner/difference"
	"github.com/orlop/orlop/spec"
)

// Schedule is a job that the engine runs when it is time.
type Schedule struct {
	Applied *Applied  `json:"applied"`          // what its runs are made from; its triggers say when
	Paused  bool      `json:"paused,omitempty"` // with its stack, which was stopped or not started
	Next    time.Time `json:"next,omitzero"`    // fire; of one that is paused none
	Last    *Run      `json:"last,omitempty"`   // that has ended
	Running bool      `json:"running,omitempty"`
}

// Run is what became of a fire of a Schedule.
type Run struct {
	Fire      time.Time `json:"fire"`
	Container string    `json:"container,omitempty"` // its name; "" where none was made
	ExitCode  int       `json:"exit_code,omitempty"`
	Error     string    `json:"error,omitempty"` // why there was no run
}

// Failure is how the run failed; "" if it did not.
func (r *Run) Failure() string {
	switch {
	case r == nil:
		return ""
	case r.Error != "":
		return r.Error
	case r.ExitCode != 0:
		return fmt.Sprintf("exit code %d", r.ExitCode)
	}
	return ""
}

// planSchedules adds the steps that have the engine run what the stack file gives a
// schedule, and nothing else of this project. Jobs of profiles that are not active stay
// as they are, as services do.
func (c *converger) planSchedules() {
	if !c.opts.IsWhole() {
		return
	}
	scheduled := c.project.Scheduled()
	for _, name := range scheduled {
		c.planSchedule(name)
	}
	for _, name := range slices.Sorted(maps.Keys(c.observed.Schedules)) {
		if slices.Contains(scheduled, name) || c.project.Disabled[name] != nil {
			continue
		}
		why := Reason{Path: "jobs." + name, Text: "it is not in the stack file any more"}
		if c.project.Jobs[name] != nil {
			why = Reason{Path: "jobs." + name + ".triggers", Text: "it has no schedule any more", Place: c.project.Places.Nearest("jobs." + name + ".triggers")}
		}
		c.plan.add(&Step{Action: Unschedule, Resource: name, Service: name, Reasons: []Reason{why}})
	}
}

// refuseUnattended refuses jobs that can't be run without a caller.
func (c *converger) refuseUnattended() {
	if lacking := c.project.Unattended(); c.opts.IsWhole() && len(lacking) > 0 {
		c.refused = append(c.refused, &spec.Mistakes{Diagnostics: lacking})
	}
}

// IsWhole says that the plan is of the whole stack: a plan of some services, or of images
// alone, leaves schedules as they are.
func (o Options) IsWhole() bool {
	return len(o.Services) == 0 && o.Prepare == "" && !o.BuildOnly && !o.PullOnly
}

// isFire says that the run is one of the engine's own: what a service has of replicas, by
// hand maybe, it keeps.
func (o Options) isFire() bool { return o.Prepare != "" && o.NoRecreate }

// scheduledWork are the jobs whose images a plan of the whole stack provides.
func (c *converger) scheduledWork() []string {
	if !c.opts.IsWhole() {
		return nil
	}
	return c.project.ScheduledWork()
}

func (c *converger) planSchedule(name string) {
	want, path := Wanted(c.project.ForRun(name), name, c.opts.Files), "jobs."+name+".triggers.schedule"
	have, known := c.observed.Schedules[name]
	step := &Step{Action: Schedules, Resource: name, Service: name, Applied: want, NoStart: c.opts.NoStart, Needs: c.imagesOf(name)}
	if known && c.opts.NoStart {
		step.NoStart = have.Paused // it goes on as it is
	}
	c.warnFailed(name, have.Last)
	if !known {
		why := Reason{Path: path, Text: c.timetable(want.Service), Place: c.project.Places.Nearest(path)}
		step.Reasons = []Reason{why}
		c.plan.add(step)
		return
	}
	step.Action, step.Reasons = Reschedule, scheduleReasons(name, have.Applied, want, c.project.Places)
	if have.Paused && !c.opts.NoStart {
		step.Reasons = append(step.Reasons, Reason{Path: path, Text: "it was stopped with the stack", Place: c.project.Places.Nearest(path)})
	}
	if len(step.Reasons) > 0 {
		step.Reasons = append(step.Reasons, Reason{Path: path, Text: c.timetable(want.Service)})
		c.plan.add(step)
	}
}

// imagesOf are the steps that make the images of a job and of those that it depends on.
func (c *converger) imagesOf(job string) (ids []string) {
	for name := range c.project.ForRun(job).Services {
		if c.project.Jobs[name] == nil {
			continue
		}
		for _, step := range append([]*Step{c.image[name]}, c.mounted[name]...) {
			if step != nil {
				ids = append(ids, step.ID)
			}
		}
	}
	return ids
}

// timetable is when a job is run, and when it is next.
func (c *converger) timetable(job *spec.Service) string {
	var texts []string
	for _, s := range job.Schedules() {
		texts = append(texts, s.String())
	}
	text := strings.Join(texts, "; ")
	if next := spec.NextFire(job.Schedules(), c.observed.Clock); !next.IsZero() && !c.observed.Clock.IsZero() {
		text += ", next at " + FireTime(next)
	}
	return text
}

// FireTime is the time of a fire for people.
func FireTime(at time.Time) string { return at.Format("2006-01-02 15:04 MST") }

// warnFailed tells of the last run of a job, if that failed.
func (c *converger) warnFailed(name string, last *Run) {
	if last.Failure() != "" {
		c.plan.Warnings = append(c.plan.Warnings, FailedRun(name, last))
	}
}

// FailedRun tells of a run that failed, and where to look.
func FailedRun(job string, last *Run) string {
	text := fmt.Sprintf("job %s: its run of %s failed: %s", job, FireTime(last.Fire), last.Failure())
	if last.Container != "" {
		text += fmt.Sprintf(" (orlop logs %s)", job)
	}
	return text
}

// scheduleReasons tells in what two documents of a scheduled job differ.
func scheduleReasons(name string, old, want *Applied, places spec.Places) []Reason {
	var rs []Reason
	a, b := difference.Tree(difference.Effective(old.Service)), difference.Tree(difference.Effective(want.Service))
	for _, key := range difference.UnionKeys(a, b) {
		path := "jobs." + name + "." + key
		switch reasons := difference.Key(path, key, a[key], b[key], places); {
		case key == "profiles" || len(reasons) == 0:
		case key == "seccomp_profile":
			rs = append(rs, Reason{Path: path, Text: "jobs." + name + ".security_opt: the seccomp profile changed", Place: places.Nearest(path)})
		case key == "triggers":
			rs = append(rs, Reason{Path: path, Text: path + ": its schedule changed", Place: places.Nearest(path)})
		default:
			rs = append(rs, reasons...)
		}
	}
	rs = append(rs, difference.Names("networks", old.Networks, want.Networks, places)...)
	rs = append(rs, difference.Names("volumes", old.Volumes, want.Volumes, places)...)
	for _, key := range slices.Sorted(maps.Keys(want.Files)) {
		if was, ok := old.Files[key]; ok && was != want.Files[key] {
			rs = append(rs, Reason{Path: key, Text: key + ": its content changed", Place: places.All()[key]})
		}
	}
	return rs
}

// suspendAll adds the steps that have jobs not run while their stack is stopped, or run
// again.
func (p *Plan) suspendAll(observed *Observed, action Action) {
	step, isPaused := Resume, false
	switch action {
	case Stop, Kill:
		step, isPaused = Suspend, true
	case Start, Restart:
	default:
		return
	}
	for _, name := range slices.Sorted(maps.Keys(observed.Schedules)) {
		if observed.Schedules[name].Paused != isPaused {
			p.add(&Step{Action: step, Resource: name, Service: name})
		}
	}
}

// unscheduleAll adds the steps that end the schedules of a project.
func (p *Plan) unscheduleAll(observed *Observed) {
	for _, name := range slices.Sorted(maps.Keys(observed.Schedules)) {
		p.add(&Step{Action: Unschedule, Resource: name, Service: name})
	}
}
