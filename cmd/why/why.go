// Package why says why a service is as it is: what it waits for, what an up would change, and what made its containers
// restart.
package why

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// Run explains a service of the stack.
func Run(ctx context.Context, inv *cli.Invocation, service string) error {
	ctx, cancel := inv.Interruptible(ctx)
	defer cancel()
	service, _, _ = strings.Cut(service, "/") // a replica, as plans name it
	project, err := inv.Load(ctx, []string{service}, false)
	if err != nil {
		return err
	}
	client, err := inv.Connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	observed, err := cli.Observe(ctx, client, cli.Stack{Name: project.Name, Project: project})
	if err != nil {
		return err
	}
	plan, err := inv.Plan(ctx, client, cli.Application{Project: project, Options: planner.Options{Services: []string{service}}, Timeout: -1})
	if err != nil {
		return err
	}
	past, err := client.History.Past(ctx, &api.PastRequest{Project: project.Name, SinceUnixNs: inv.Now().UnixNano()})
	if err != nil {
		return cli.Cause(ctx, err)
	}
	for i := range observed {
		observed[i] = observed[i].Masked(inv.Mask.Text)
	}
	w := explanation{project: project, containers: observed, plan: plan, now: inv.Now()}
	for _, e := range past.Failed {
		w.failed = append(w.failed, e.Planner().Masked(inv.Mask.Text))
	}
	w.print(inv.Stdout, service)
	return nil
}

// explanation says why a service is as it is.
type explanation struct {
	project    *spec.Project
	containers []planner.Container
	failed     []planner.Event // steps that failed when they were tried last
	plan       *planner.Plan
	now        time.Time
}

func (e *explanation) print(w io.Writer, service string) {
	own := e.of(service)
	fmt.Fprintf(w, " %s   %s\n", service, e.standing(service, own))
	for i := range own {
		for _, line := range e.past(&own[i]) {
			e.row(w, display.Replica(&own[i]), line)
		}
	}
	for i := range e.failed {
		if f := &e.failed[i]; f.Service == service && e.isStillWanted(f) {
			e.attempt(w, f)
		}
	}
	for _, line := range e.waits(service) {
		e.row(w, "waits for", line)
	}
	for _, line := range e.awaitedBy(service) {
		e.row(w, "needed by", line)
	}
	changes := e.changes(service)
	for _, line := range changes {
		e.row(w, "would change", line)
	}
	if len(changes) == 0 {
		e.row(w, "would change", "nothing: it is as the stack file says")
	}
}

// isStillWanted says that the stack file still has what a step was about: an image that is no longer built or pulled is not.
func (e *explanation) isStillWanted(f *planner.Event) bool {
	s := e.project.Buildable(f.Service)
	switch {
	case s == nil:
		return false
	case f.Action == planner.Build:
		return s.Build != nil
	case f.Action == planner.Pull:
		return slices.ContainsFunc(e.project.ImageNames(), func(name string) bool { // of a platform, or pinned
			rest, is := strings.CutPrefix(f.Resource, name)
			return is && (rest == "" || rest[0] == ' ' || rest[0] == '@')
		})
	}
	return true
}

// attempt says how the last try of a step failed, with the last of what was printed.
func (e *explanation) attempt(w io.Writer, f *planner.Event) {
	name, what := f.Resource, "its last "+string(f.Action)
	switch f.Action {
	case planner.Build, planner.Pull:
		name, what = f.Service, "the last "+string(f.Action)+" of its image"
	case planner.Create, planner.Replace, planner.Start, planner.Restart:
		what = "the last try to start it"
	}
	e.row(w, name, fmt.Sprintf("%s failed %s: %s", what, ago(e.now, f.Time), f.Text))
	const most = 5
	for _, line := range f.Lines[max(0, len(f.Lines)-most):] {
		e.row(w, "", "  | "+line)
	}
}

func (e *explanation) row(w io.Writer, name, text string) {
	fmt.Fprintf(w, "   %-14s %s\n", name, display.Printable(spec.ShortDigests(text)))
}

// of are the replicas of a service.
func (e *explanation) of(service string) (list []planner.Container) {
	for _, c := range e.containers {
		if c.Service == service && !c.OneOff {
			list = append(list, c)
		}
	}
	return list
}

// standing is how a service stands, in a few words.
func (e *explanation) standing(service string, own []planner.Container) string {
	switch wanted := e.project.Services[service]; {
	case len(own) == 0 && wanted.Provider != nil:
		return "is provided by " + wanted.Provider.Type
	case len(own) == 0 && wanted.Replicas() == 0:
		return "is to have no container"
	case len(own) == 0:
		return `has no container: "orlop up -d ` + service + `" makes it`
	}
	counts := map[string]int{}
	for i := range own {
		c := &own[i]
		word := display.StateWord(c)
		if c.Health != planner.NoHealth && c.State == planner.Running {
			word += ", " + string(c.Health)
		}
		counts[word]++
	}
	var parts []string
	for _, word := range slices.Sorted(maps.Keys(counts)) {
		if counts[word] == len(own) && len(own) == 1 {
			return word
		}
		parts = append(parts, fmt.Sprintf("%d %s", counts[word], word))
	}
	return strings.Join(parts, "; ")
}

// past is what made a container what it is.
func (e *explanation) past(c *planner.Container) (lines []string) {
	switch {
	case c.State == planner.Created:
		lines = append(lines, "was never started")
	case c.State == planner.Exited && c.Stopped:
		lines = append(lines, fmt.Sprintf("was stopped %s, on the user's word, and exited with code %d%s", ago(e.now, c.ExitedAt), c.ExitCode, display.Spaced(display.ExitNotes(c))))
	case c.State == planner.Exited || c.State == planner.Restarting:
		lines = append(lines, fmt.Sprintf("exited with code %d%s %s", c.ExitCode, display.Spaced(display.ExitNotes(c)), ago(e.now, c.ExitedAt)))
	case c.Paused:
		lines = append(lines, `is paused: "orlop unpause `+c.Service+`" has it go on`)
	case c.Restarts == 0:
		lines = append(lines, "runs for "+strings.ToLower(display.Span(e.now.Sub(c.StartedAt))))
	}
	if c.Restarts > 0 && c.State == planner.Running {
		last := fmt.Sprintf("restarted %s; the last time %s", spec.Times(c.Restarts), ago(e.now, c.StartedAt))
		if !c.ExitedAt.IsZero() {
			last += fmt.Sprintf(", after it had exited with code %d%s", c.ExitCode, display.Spaced(display.ExitNotes(c)))
		}
		lines = append(lines, last)
	}
	if c.State == planner.Restarting {
		lines = append(lines, fmt.Sprintf("is started again (%s so far)", spec.Times(c.Restarts)))
		if wait := c.NextTry.Sub(e.now); wait > 0 {
			lines[len(lines)-1] += ", next in " + display.Span(wait)
		}
	}
	if p := c.LastProbe; p != nil && p.Failing > 0 && c.State == planner.Running {
		text := fmt.Sprintf("%s in a row failed, the last one %s with exit code %d", spec.Plural(p.Failing, "health probe"), ago(e.now, p.At), p.ExitCode)
		if out, _, _ := strings.Cut(strings.TrimSpace(p.Output), "\n"); out != "" {
			text += ": " + display.Printable(out)
		}
		lines = append(lines, text)
	}
	for _, lost := range c.Lost {
		lines = append(lines, "lacks what it should have: "+lost)
	}
	if c.Dead != "" {
		lines = append(lines, "does not run: "+c.Dead)
	}
	return lines
}

// ago is how long ago a time was, inside of a sentence.
func ago(now, then time.Time) string { return strings.ToLower(display.Ago(now, then)) }

// waits is what a service waits for, and how that stands.
func (e *explanation) waits(service string) (lines []string) {
	s := e.project.Services[service]
	for _, name := range slices.Sorted(maps.Keys(s.DependsOn)) {
		how := s.DependsOn[name]
		lines = append(lines, fmt.Sprintf("%s until it is %s: %s", name, conditionWord(how.Condition), e.met(name, how)))
	}
	return lines
}

func conditionWord(condition string) string {
	return cmp.Or(map[string]string{spec.ServiceHealthy: "healthy", spec.ServiceCompleted: "completed"}[condition], "started")
}

// met says whether a condition holds, and how the service stands.
func (e *explanation) met(name string, how spec.Dependency) string {
	own := e.of(name)
	wanted := e.project.Services[name]
	switch {
	case wanted == nil && !how.Required:
		return "it is not part of the stack now"
	case wanted == nil:
		return "it is not active"
	case len(own) == 0:
		return "not yet: " + e.standing(name, own)
	}
	holds := 0
	for i := range own {
		c := &own[i]
		switch how.Condition {
		case spec.ServiceHealthy:
			if c.State == planner.Running && c.Health == planner.Healthy {
				holds++
			}
		case spec.ServiceCompleted:
			if c.IsCompleted() {
				holds++
			}
		default:
			if c.State == planner.Running || c.IsCompleted() {
				holds++
			}
		}
	}
	if holds == len(own) {
		return "it is"
	}
	return "not yet: " + e.standing(name, own) + e.whyNot(own)
}

// whyNot is what is wrong with containers that others wait for.
func (e *explanation) whyNot(own []planner.Container) string {
	for i := range own {
		if c := &own[i]; c.State != planner.Running || c.Health == planner.Unhealthy {
			if past := e.past(c); len(past) > 0 {
				return " (" + past[len(past)-1] + ")"
			}
		}
	}
	return ""
}

// awaitedBy are the services that wait for this one.
func (e *explanation) awaitedBy(service string) (lines []string) {
	for _, name := range slices.Sorted(maps.Keys(e.project.Services)) {
		how, ok := e.project.Services[name].DependsOn[service]
		if !ok {
			continue
		}
		text := fmt.Sprintf("%s, until it is %s", name, conditionWord(how.Condition))
		if how.Restart {
			text += "; restarted with it"
		}
		lines = append(lines, text)
	}
	return lines
}

// changes is what an up would do to the service, and why.
func (e *explanation) changes(service string) (lines []string) {
	for _, s := range e.plan.Steps {
		if s.Service != service || s.Action == planner.Await || s.Action == planner.Rollback {
			continue
		}
		for _, r := range s.Reasons {
			text := fmt.Sprintf("%s %s   %s", s.Action.Symbol(), s.Resource, r)
			if r.Place.File != "" {
				text += fmt.Sprintf("   (%s:%d)", filepath.Base(r.Place.File), r.Place.Line)
			}
			lines = append(lines, text)
		}
		if len(s.Reasons) == 0 {
			lines = append(lines, s.Action.Symbol()+" "+s.Resource)
		}
	}
	return lines
}
