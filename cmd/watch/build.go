package watch

import (
	"context"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/watch/loop"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// Build builds the image of a service, and those that it builds on.
func (c *executor) Build(ctx context.Context, service string, asked bool, begun func()) (loop.Built, error) {
	p := c.current()
	req, err := c.Request(ctx, c.client, cli.Application{
		Project: p, Timeout: -1, Anew: asked, Options: planner.Options{Services: buildsOn(p, service, nil), NoDeps: true, BuildOnly: true, Build: true},
	})
	if err != nil {
		return loop.Built{}, err
	}
	defer req.Close()
	stream, err := c.client.Apply(ctx, req.Message)
	if err != nil {
		return loop.Built{}, cli.Cause(ctx, err)
	}
	built := loop.Built{}
	times := stepTimes{now: c.Now}
	built.Changed, err = cli.Follow(ctx, stream, func(plan *planner.Plan) error {
		if built.Ran = !plan.IsEmpty(); built.Ran {
			begun()
		}
		return req.Lend(plan)
	}, times.event)
	built.Step, built.StepFor = times.longest()
	return built, withOutput(err)
}

// withOutput gives the failure of a step as the watch tells it.
func withOutput(err error) error {
	if step, ok := errors.AsType[*cli.StepError](err); ok {
		return &loop.OutputError{Message: step.Text, Lines: step.Lines}
	}
	return err
}

// buildsOn are the services that a service's build is made of, itself last.
func buildsOn(p *spec.Project, service string, names []string) []string {
	s := p.Services[service]
	if s == nil || s.Build == nil || slices.Contains(names, service) {
		return names
	}
	for _, from := range s.Build.AdditionalContexts {
		if base, ok := strings.CutPrefix(from, "service:"); ok {
			names = buildsOn(p, base, names)
		}
	}
	return append(names, service)
}

// Replace brings the containers of a service to its image.
func (c *executor) Replace(ctx context.Context, service string) (changed bool, err error) {
	p := c.current()
	req, err := c.Request(ctx, c.client, cli.Application{
		Project: p, Timeout: -1,
		Options: planner.Options{Services: restartedWith(p, service), NoDeps: true, NoBuild: true, Wait: true},
	})
	if err != nil {
		return false, err
	}
	defer req.Close()
	stream, err := c.client.Apply(ctx, req.Message)
	if err != nil {
		return false, cli.Cause(ctx, err)
	}
	changed, err = cli.Follow(ctx, stream, req.Lend, nil)
	return changed, withOutput(err)
}

// restartedWith are a service and those that are restarted when it is
// replaced (Compose Specification, depends_on, restart: true).
func restartedWith(p *spec.Project, service string) []string {
	names := []string{service}
	for i := 0; i < len(names); i++ {
		for _, name := range slices.Sorted(maps.Keys(p.Services)) {
			if p.Services[name].DependsOn[names[i]].Restart && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// stepTimes measures the steps of a build by the events that announce them.
type stepTimes struct {
	now   func() time.Time
	step  string
	since time.Time
	spent map[string]time.Duration
}

func (s *stepTimes) event(e planner.Event) {
	if e.Action != planner.Build || e.Text == s.step && e.Kind == planner.Progressed {
		return
	}
	now := s.now()
	if s.spent == nil {
		s.spent = map[string]time.Duration{}
	}
	if s.step != "" {
		s.spent[s.step] += now.Sub(s.since)
	}
	s.step, s.since = e.Text, now
	if e.Kind != planner.Progressed {
		s.step = ""
	}
}

var runStep = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^\[[^\]]*\] RUN (?:--\S+ )*(.*)$`) })

var isAssignment = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`) })

// longest is the command that took longest, and how long.
func (s *stepTimes) longest() (command string, took time.Duration) {
	for step, d := range s.spent {
		m := runStep().FindStringSubmatch(step)
		if m == nil || d <= took {
			continue
		}
		words := strings.Fields(m[1])
		for len(words) > 1 && isAssignment().MatchString(words[0]) { // CGO_ENABLED=0 go build: the program is meant
			words = words[1:]
		}
		command, took = strings.Join(words[:min(2, len(words))], " "), d
	}
	return command, took
}
