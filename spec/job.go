package spec

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/orlop/orlop/spec/cron"
)

// Triggers say what a job is run by ("jobs.*.triggers"). A job is a container that runs to
// completion: no service depends on it, and up does not run it.
type Triggers struct {
	Manual   *bool      `json:"manual,omitempty"` // by its name; nil is true
	Schedule []Schedule `json:"schedule,omitempty"`
}

// Schedule is when a job is run by the engine.
type Schedule struct {
	Cron        string `json:"cron"`
	Timezone    string `json:"timezone,omitempty"`     // IANA; "" is the machine's
	Concurrency string `json:"concurrency,omitempty"`  // "" is forbid
	MissedFires string `json:"missed_fires,omitempty"` // "" is one
}

// What becomes of a fire of a Schedule while a run goes on, and of those that were missed
// while no engine was there.
const (
	ConcurrencyForbid = "forbid" // there is no further run
	ConcurrencyQueue  = "queue"  // there is one when that has ended
	MissedOne         = "one"    // a single run makes good for all
	MissedSkip        = "skip"
)

// Next is the first fire after a moment, in the schedule's time zone; a schedule without
// one has that of the moment.
func (s Schedule) Next(after time.Time) time.Time {
	expression, err := cron.Parse(s.Cron)
	if err != nil {
		return time.Time{}
	}
	if zone, err := cron.Zone(s.Timezone); err == nil {
		after = after.In(zone)
	}
	return expression.Next(after)
}

// String is the schedule in a few words.
func (s Schedule) String() string {
	return strings.Join(slices.DeleteFunc([]string{s.Cron, s.Timezone}, func(word string) bool { return word == "" }), " ")
}

// Schedules are those of a job; none of a service.
func (s *Service) Schedules() []Schedule {
	if s == nil || s.Triggers == nil {
		return nil
	}
	return s.Triggers.Schedule
}

// NextFire is the earliest fire of several schedules after a moment; zero if there is none.
func NextFire(schedules []Schedule, after time.Time) time.Time {
	var first time.Time
	for _, s := range schedules {
		if next := s.Next(after); !next.IsZero() && (first.IsZero() || next.Before(first)) {
			first = next
		}
	}
	return first
}

// Scheduled are the jobs that have a schedule, by name.
func (p *Project) Scheduled() []string {
	names := slices.Sorted(maps.Keys(p.Jobs))
	return slices.DeleteFunc(names, func(name string) bool { return len(p.Jobs[name].Schedules()) == 0 })
}

// ScheduledWork are the jobs that have a schedule, and those that they depend on.
func (p *Project) ScheduledWork() []string {
	work := map[string]bool{}
	for _, name := range p.Scheduled() {
		maps.Copy(work, p.jobsOf(name))
	}
	return slices.Sorted(maps.Keys(work))
}

// Work is the project with nothing but the jobs that have a schedule, and those that they
// depend on, as services.
func (p *Project) Work() *Project {
	out := *p
	out.Services = map[string]*Service{}
	for _, name := range p.ScheduledWork() {
		out.Services[name] = p.Jobs[name]
	}
	return &out
}

// jobsOf are a job and the jobs that it depends on.
func (p *Project) jobsOf(name string) map[string]bool {
	found := map[string]bool{}
	var add func(name string)
	add = func(name string) {
		if job := p.Jobs[name]; job != nil && !found[name] {
			found[name] = true
			for other := range job.DependsOn {
				add(other)
			}
		}
	}
	add(name)
	return found
}

// ForRun is the project in which a job, and the jobs that it depends on, are services, as
// for a run of it: the job has one container, without published ports and terminal.
func (p *Project) ForRun(job string) *Project {
	out := *p
	out.Services, out.Jobs = maps.Clone(p.Services), maps.Clone(p.Jobs)
	if out.Services == nil {
		out.Services = map[string]*Service{}
	}
	for name := range p.jobsOf(job) {
		own := *p.Jobs[name]
		out.Services[name] = &own
		delete(out.Jobs, name)
	}
	one, own := 1, out.Services[job]
	own.Scale, own.Ports, own.Tty, own.StdinOpen = &one, nil, false, false
	out.InheritVolumes()
	return &out
}

// Unattended tells what scheduled jobs ask for that only a caller can give, who is not there
// when they are run.
func (p *Project) Unattended() Diagnostics {
	var all Diagnostics
	refuse := func(path, message, hint string) {
		all = append(all, Diagnostic{Severity: Error, Path: path, Place: p.Places.Nearest(path), Message: message, Hint: hint})
	}
	const file = "the engine keeps no secret of a caller's: write file:, or external: and \"orlop secret create\""
	for _, name := range p.ScheduledWork() {
		job, path := p.Jobs[name], "jobs."+name
		for i, f := range job.Secrets {
			if s := p.Secrets[f.Source]; s != nil && s.File == "" && !s.External {
				refuse(fmt.Sprintf("%s.secrets[%d]", path, i), fmt.Sprintf("a scheduled job can't have the secret %q, which is in the stack file or a variable", f.Source), file)
			}
		}
		for i, f := range job.Configs {
			if c := p.Configs[f.Source]; c != nil && c.File == "" && c.Content == "" && !c.External {
				refuse(fmt.Sprintf("%s.configs[%d]", path, i), fmt.Sprintf("a scheduled job can't have the config %q, which is in a variable", f.Source), "write file: or content:")
			}
		}
		if len(job.Models) > 0 {
			refuse(path+".models", "a scheduled job can't have models", "give it their variables by environment:")
		}
		for other := range job.DependsOn {
			if p.Provided[other] != nil {
				refuse(path+".depends_on."+other, fmt.Sprintf("a scheduled job can't depend on %q, which a program provides", other), "give it the variables by environment:")
			}
		}
	}
	slices.SortFunc(all, func(a, b Diagnostic) int { return cmp.Compare(a.Path, b.Path) })
	return all
}
