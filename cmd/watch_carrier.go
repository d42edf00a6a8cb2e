package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/watch"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// watchCarrier carries out what a watch decides, by the calls that the other
// verbs make too.
type watchCarrier struct {
	*app
	client *api.Client
	source *stackSource
	ask    bool

	mu      sync.Mutex    // guards project
	project *spec.Project // as it was applied last
}

func (c *watchCarrier) current() *spec.Project {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.project
}

// A message of a sync carries up to so many entries and bytes.
const (
	syncEntries = 256
	syncBytes   = 1 << 20
)

// Sync writes entries into all containers of a service.
func (c *watchCarrier) Sync(ctx context.Context, service string, each func(put func(watch.Entry) error) error) (watch.Synced, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.client.Sync(ctx)
	if err != nil {
		return watch.Synced{}, cause(ctx, err)
	}
	msg, size := &api.SyncInput{Project: c.current().Name, Service: service}, 0
	flush := func() error {
		err := stream.Send(msg)
		msg, size = &api.SyncInput{}, 0
		return err
	}
	err = each(func(e watch.Entry) error {
		msg.Entries = append(msg.Entries, syncEntry(e))
		if size += len(e.Content); size >= syncBytes || len(msg.Entries) >= syncEntries {
			return flush()
		}
		return nil
	})
	if err == nil {
		err = flush()
	}
	if err != nil && !errors.Is(err, io.EOF) { // what ended the stream comes with its end
		return watch.Synced{}, cause(ctx, err)
	}
	reply, err := stream.CloseAndRecv()
	if status.Code(err) == codes.FailedPrecondition {
		return watch.Synced{}, c.absence(ctx, service)
	}
	if err != nil {
		return watch.Synced{}, cause(ctx, err)
	}
	done := watch.Synced{Files: int(reply.Files), Removed: int(reply.Removed)}
	if reply.Still == reply.Containers {
		done.Still = c.absence(ctx, service)
	}
	for _, f := range reply.Failures {
		done.Failures = append(done.Failures, watch.Failure{Container: f.Container, Path: f.Path, Message: f.Error})
	}
	if reply.Cut != "" {
		return done, errors.New(reply.Cut)
	}
	return done, nil
}

func syncEntry(e watch.Entry) *api.SyncEntry {
	out := &api.SyncEntry{Path: e.Path, Mode: uint32(e.Mode), Link: e.Link, Content: e.Content, Unfinished: e.Unfinished,
		InPlace: e.InPlace, Anew: e.Anew}
	switch e.Kind {
	case watch.File:
		out.Kind = api.SyncEntry_FILE
	case watch.Directory:
		out.Kind = api.SyncEntry_DIRECTORY
	case watch.Symlink:
		out.Kind = api.SyncEntry_SYMLINK
	case watch.Removal:
		out.Kind = api.SyncEntry_REMOVE
	case watch.More:
		out.Kind = api.SyncEntry_MORE
	}
	return out
}

// Restart restarts the containers of a service.
func (c *watchCarrier) Restart(ctx context.Context, service string) error {
	return c.lifecycle(ctx, planner.Restart, nil, service)
}

// RestartAll restarts services as one restart of them all.
func (c *watchCarrier) RestartAll(ctx context.Context, services []string, ended func(service string, err error)) error {
	containers, err := observe(ctx, c.client, stack{name: c.current().Name})
	if err != nil {
		return err
	}
	services = slices.DeleteFunc(slices.Clone(services), func(name string) bool {
		return !slices.ContainsFunc(containers, func(k planner.Container) bool {
			return k.Service == name && !k.OneOff && !k.IsCompleted()
		})
	})
	if len(services) == 0 {
		return nil // none would stand for all
	}
	outcomes := restarts{}
	err = c.lifecycle(ctx, planner.Restart, outcomes.event, services...)
	for _, name := range slices.Sorted(maps.Keys(outcomes)) {
		ended(name, outcomes[name])
	}
	if outcomes.failed() && ctx.Err() == nil {
		return nil // told
	}
	return err
}

// restarts is how the restart of each service ended.
type restarts map[string]error

func (r restarts) event(e planner.Event) {
	switch {
	case e.Kind == planner.Failed && r[e.Service] == nil:
		r[e.Service] = &watch.OutputError{Message: e.Text, Lines: e.Lines}
	case e.Kind == planner.Skipped && r[e.Service] == nil:
		r[e.Service] = errors.New(e.Text)
	case e.Kind == planner.Done && e.Action == planner.Restart && r[e.Service] == nil:
		r[e.Service] = nil
	}
}

func (r restarts) failed() bool {
	for _, err := range r {
		if err != nil {
			return true
		}
	}
	return false
}

func (c *watchCarrier) lifecycle(ctx context.Context, action planner.Action, event func(planner.Event), services ...string) error {
	stream, err := c.client.Lifecycle(ctx, &api.LifecycleRequest{Project: c.current().Name, Action: string(action), Services: services})
	if err != nil {
		return cause(ctx, err)
	}
	_, err = follow(ctx, stream, nil, event)
	return err
}

// Exec runs a command in each running container of a service.
func (c *watchCarrier) Exec(ctx context.Context, service string, hook *spec.Hook) (output []string, err error) {
	containers, err := observe(ctx, c.client, stack{name: c.current().Name})
	if err != nil {
		return nil, err
	}
	var env []string
	for _, name := range slices.Sorted(maps.Keys(hook.Environment)) {
		if value := hook.Environment[name]; value != nil {
			env = append(env, name+"="+*value)
		}
	}
	for _, k := range containers {
		if k.Service != service || k.OneOff || k.State != planner.Running {
			continue
		}
		start := &api.ProcessStart{
			Project: c.current().Name, Container: k.ID, Command: hook.Command, User: hook.User,
			WorkingDir: hook.WorkingDir, Privileged: hook.Privileged, Environment: c.fillEnvironment(env),
		}
		printed, err := c.execOne(ctx, start)
		if err != nil {
			return output, err
		}
		output = append(output, printed...)
	}
	return output, nil
}

// execOne gives the end of what the command printed.
func (c *watchCarrier) execOne(ctx context.Context, start *api.ProcessStart) ([]string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.client.Exec(ctx)
	if err == nil {
		err = stream.Send(&api.ProcessInput{Of: &api.ProcessInput_Start{Start: start}})
	}
	if err != nil {
		return nil, cause(ctx, err)
	}
	var output tail
	for {
		m, err := stream.Recv()
		if err != nil {
			return nil, cause(ctx, err)
		}
		switch of := m.Of.(type) {
		case *api.ProcessOutput_Stdout:
			output.add(of.Stdout)
		case *api.ProcessOutput_Stderr:
			output.add(of.Stderr)
		case *api.ProcessOutput_ExitCode:
			if of.ExitCode == 0 {
				return output.lines(), nil
			}
			return nil, &watch.OutputError{Message: fmt.Sprintf("exit code %d", of.ExitCode), Lines: output.lines()}
		}
	}
}

// tail keeps the last whole lines of an output.
type tail struct {
	text []byte
	cut  bool // there was more
}

// How much of an output a tail keeps.
const (
	tailSize  = 64 << 10
	tailLines = 100
)

func (t *tail) add(b []byte) {
	t.text = append(t.text, b...)
	if over := len(t.text) - tailSize; over > 0 { // half a line could be the rest of a secret
		end := bytes.IndexByte(t.text[over:], '\n') + 1
		if end == 0 {
			end = tailSize
		}
		t.text, t.cut = t.text[over+end:], true
	}
}

func (t *tail) lines() []string {
	text := strings.TrimRight(string(t.text), "\n")
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	if n := len(lines) - tailLines; n > 0 {
		lines, t.cut = lines[n:], true
	}
	if t.cut {
		lines = append([]string{"..."}, lines...)
	}
	return lines
}

// Build builds the image of a service, and those that it builds on.
func (c *watchCarrier) Build(ctx context.Context, service string, asked bool, begun func()) (watch.Built, error) {
	p := c.current()
	one := *c.app // the sessions that it lends are this build's alone
	names := buildsOn(p, service, nil)
	req, done, err := one.request(ctx, c.client, application{
		project: p, timeout: -1, anew: asked, options: planner.Options{Services: names, NoDeps: true, BuildOnly: true, Build: true},
	})
	if err != nil {
		return watch.Built{}, cause(ctx, err)
	}
	defer done()
	stream, err := c.client.Apply(ctx, req)
	if err != nil {
		return watch.Built{}, cause(ctx, err)
	}
	built := watch.Built{}
	times := stepTimes{now: one.world.Now}
	changed, err := follow(ctx, stream, func(plan *planner.Plan) error {
		if built.Ran = !plan.IsEmpty(); built.Ran {
			begun()
		}
		if one.lend == nil {
			return nil
		}
		return one.lend(plan)
	}, times.event)
	built.Changed = changed
	built.Step, built.StepFor = times.longest()
	return built, err
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
func (c *watchCarrier) Replace(ctx context.Context, service string) (changed bool, err error) {
	p := c.current()
	one := *c.app
	req, done, err := one.request(ctx, c.client, application{
		project: p, timeout: -1,
		options: planner.Options{Services: restartedWith(p, service), NoDeps: true, NoBuild: true, Wait: true},
	})
	if err != nil {
		return false, cause(ctx, err)
	}
	defer done()
	stream, err := c.client.Apply(ctx, req)
	if err != nil {
		return false, cause(ctx, err)
	}
	return follow(ctx, stream, one.lend, nil)
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

// follow reads a progress to its verdict without a display. It says whether
// any step changed something; a failure has the output that explains it.
func follow(ctx context.Context, stream progressStream, planned func(*planner.Plan) error, event func(planner.Event)) (changed bool, err error) {
	var failed *planner.Event
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			err = api.ErrLost
		}
		if err != nil {
			return changed, cause(ctx, err)
		}
		switch of := m.Of.(type) {
		case *api.Progress_Plan:
			if planned != nil {
				if err := planned(of.Plan.Planner()); err != nil {
					return false, err
				}
			}
		case *api.Progress_Event:
			e := of.Event.Planner()
			changed = changed || e.Kind == planner.Done
			if e.Kind == planner.Failed && failed == nil {
				failed = &e
			}
			if event != nil {
				event(e)
			}
		case *api.Progress_Verdict:
			return changed, verdictError(ctx, of.Verdict, failed)
		}
	}
}

func verdictError(ctx context.Context, v *api.Verdict, failed *planner.Event) error {
	switch {
	case v.Ok:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case failed != nil:
		return &watch.OutputError{Message: failed.Text, Lines: failed.Lines}
	}
	return errors.New(or(v.Error, "the engine gave no reason"))
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

var runStep = regexp.MustCompile(`^\[[^\]]*\] RUN (?:--\S+ )*(.*)$`)

var isAssignment = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`)

// longest is the command that took longest, and how long.
func (s *stepTimes) longest() (command string, took time.Duration) {
	for step, d := range s.spent {
		m := runStep.FindStringSubmatch(step)
		if m == nil || d <= took {
			continue
		}
		words := strings.Fields(m[1])
		for len(words) > 1 && isAssignment.MatchString(words[0]) { // CGO_ENABLED=0 go build: the program is meant
			words = words[1:]
		}
		command, took = strings.Join(words[:min(2, len(words))], " "), d
	}
	return command, took
}

// Reload reads the stack again; mistakes are shown with their places.
func (c *watchCarrier) Reload(ctx context.Context) (*spec.Project, []string, error) {
	p, err := c.source.load(ctx)
	files := c.source.files
	if len(files) == 0 {
		files = c.current().Files
	}
	var shown exit
	if err != nil && !errors.As(err, &shown) && ctx.Err() == nil {
		fmt.Fprintln(c.world.Stderr, c.errStyle().red(err.Error()))
	}
	if err == nil && p.Name != c.current().Name {
		err = fmt.Errorf("the project is called %s now and was %s: stop the watch and begin it again", p.Name, c.current().Name)
		fmt.Fprintln(c.world.Stderr, c.errStyle().red(err.Error()))
	}
	return p, files, err
}

// Apply brings the stack to a project that was loaded anew: the plan is
// shown, and carried out after a yes if that is asked for.
func (c *watchCarrier) Apply(ctx context.Context, p *spec.Project) error {
	one := *c.app
	if one.progress == "auto" || one.progress == "tty" {
		one.progress = "plain"
	}
	opts := planner.Options{Services: c.source.services}
	gone := goneServices(c.current(), p)
	if one.progress == "plain" || c.ask {
		some, err := one.showPlan(ctx, c.client, p, opts, gone)
		if err != nil {
			return err
		}
		if some && c.ask && !c.agrees(ctx, "Apply this?") {
			return watch.ErrDeclined
		}
	}
	if len(gone) > 0 {
		if err := c.lifecycle(ctx, planner.Stop, nil, gone...); err != nil {
			return err
		}
		if err := c.lifecycle(ctx, planner.Remove, nil, gone...); err != nil {
			return err
		}
	}
	c.mu.Lock()
	c.project = p // what is gone from it is removed: the next edit is not told of it again
	c.mu.Unlock()
	w := words{done: "is up", nothing: "is up to date", failed: "is not up", silent: true}
	one.began = one.world.Now()
	err := one.applyProject(ctx, c.client, p, opts, w)
	var shown exit
	if errors.As(err, &shown) {
		return errors.New("see above; the next edit tries again")
	}
	return err
}

// showPlan prints what an edit of the stack's files would change, and says
// whether that is anything.
func (a *app) showPlan(ctx context.Context, client *api.Client, p *spec.Project, opts planner.Options, gone []string) (some bool, err error) {
	req, done, err := a.request(ctx, client, application{project: p, options: opts, timeout: -1, planOnly: true})
	if err != nil {
		return false, cause(ctx, err)
	}
	defer done()
	reply, err := client.Plan(ctx, req)
	if err != nil {
		return false, cause(ctx, err)
	}
	plan := reply.Plan.Planner()
	for _, name := range gone {
		fmt.Fprintf(a.world.Stderr, " %s %s   no longer in the stack file\n", a.errStyle().red("-"), name)
	}
	if !plan.IsEmpty() {
		plan.Orphans = nil // said above, or left alone since the beginning
		if err := writePlan(a.world.Stderr, plan.Masked(a.mask.Text), "text", a.errStyle()); err != nil {
			return false, err
		}
	}
	return !plan.IsEmpty() || len(gone) > 0, nil
}

// showPlanNow shows what the stack's files as they are would change.
func (c *watchCarrier) showPlanNow(ctx context.Context) error {
	source := &stackSource{app: c.app, services: c.source.services, scale: c.source.scale}
	p, err := source.load(ctx)
	var shown exit
	if errors.As(err, &shown) {
		return nil // its mistakes are
	}
	if err != nil {
		return err
	}
	one := *c.app
	some, err := one.showPlan(ctx, c.client, p, planner.Options{Services: c.source.services}, goneServices(c.current(), p))
	if err == nil && !some {
		fmt.Fprintf(c.world.Stderr, " %s the stack is as its files say\n", c.errStyle().dim("·"))
	}
	return err
}

// goneServices are those that a project had and has no more, not even
// inactive.
func goneServices(old, now *spec.Project) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(old.Services)), func(name string) bool {
		return now.Services[name] != nil || now.Disabled[name] != nil
	})
}
