package cmd

import (
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
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/watch"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// watchCarrier carries out what a watch decides, by the calls that the other
// verbs make too.
type watchCarrier struct {
	*cli.Invocation
	client *api.Client
	source cli.Source
	ask    bool
	// confirm asks by a key of the menu; nil: there is none.
	confirm func(ctx context.Context, question string) bool

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
		return watch.Synced{}, cli.Cause(ctx, err)
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
		return watch.Synced{}, cli.Cause(ctx, err)
	}
	reply, err := stream.CloseAndRecv()
	if status.Code(err) == codes.FailedPrecondition {
		return watch.Synced{}, c.absence(ctx, service)
	}
	if err != nil {
		return watch.Synced{}, cli.Cause(ctx, err)
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
	containers, err := cli.Observe(ctx, c.client, cli.Stack{Name: c.current().Name})
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
		return cli.Cause(ctx, err)
	}
	_, err = cli.Follow(ctx, stream, nil, event)
	return withOutput(err)
}

// Exec runs a command in each running container of a service.
func (c *watchCarrier) Exec(ctx context.Context, service string, hook *spec.Hook) (output []string, err error) {
	containers, err := cli.Observe(ctx, c.client, cli.Stack{Name: c.current().Name})
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
			WorkingDir: hook.WorkingDir, Privileged: hook.Privileged, Environment: cli.FillEnvironment(env, c.current().Variables),
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
	if err != nil && !errors.Is(err, io.EOF) { // what ended the stream comes with its end
		return nil, cli.Cause(ctx, err)
	}
	output := display.Tail{Most: hookLines}
	for {
		m, err := stream.Recv()
		if err != nil {
			return nil, cli.Cause(ctx, err)
		}
		switch of := m.Of.(type) {
		case *api.ProcessOutput_Stdout:
			_, _ = output.Write(of.Stdout)
		case *api.ProcessOutput_Stderr:
			_, _ = output.Write(of.Stderr)
		case *api.ProcessOutput_ExitCode:
			if of.ExitCode == 0 {
				return output.Marked(), nil
			}
			return nil, &watch.OutputError{Message: fmt.Sprintf("exit code %d", of.ExitCode), Lines: output.Marked()}
		}
	}
}

// hookLines is how many of its last lines are shown of what a command printed.
const hookLines = 100

// Build builds the image of a service, and those that it builds on.
func (c *watchCarrier) Build(ctx context.Context, service string, asked bool, begun func()) (watch.Built, error) {
	p := c.current()
	req, err := c.Request(ctx, c.client, cli.Application{
		Project: p, Timeout: -1, Anew: asked, Options: planner.Options{Services: buildsOn(p, service, nil), NoDeps: true, BuildOnly: true, Build: true},
	})
	if err != nil {
		return watch.Built{}, err
	}
	defer req.Close()
	stream, err := c.client.Apply(ctx, req.Message)
	if err != nil {
		return watch.Built{}, cli.Cause(ctx, err)
	}
	built := watch.Built{}
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
		return &watch.OutputError{Message: step.Text, Lines: step.Lines}
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
func (c *watchCarrier) Replace(ctx context.Context, service string) (changed bool, err error) {
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
	p, files, err := c.source.Load(ctx, c.Invocation)
	if len(files) == 0 {
		files = c.current().Files
	}
	var shown cli.Exit
	if err != nil && !errors.As(err, &shown) && ctx.Err() == nil {
		fmt.Fprintln(c.Stderr, c.ErrStyle().Red(err.Error()))
	}
	if err == nil && p.Name != c.current().Name {
		err = fmt.Errorf("the project is called %s now and was %s: stop the watch and begin it again", p.Name, c.current().Name)
		fmt.Fprintln(c.Stderr, c.ErrStyle().Red(err.Error()))
	}
	return p, files, err
}

// Apply brings the stack to a project that was loaded anew: the plan is
// shown, and carried out after a yes if that is asked for.
func (c *watchCarrier) Apply(ctx context.Context, p *spec.Project) error {
	mode := c.Progress
	if mode == "auto" || mode == "tty" {
		mode = "plain"
	}
	opts := planner.Options{Services: c.source.Services}
	gone := goneServices(c.current(), p)
	if mode == "plain" || c.ask {
		some, err := c.showPlan(ctx, p, opts, gone)
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
	err := applyProject(ctx, c.Invocation, c.client, p, opts, cli.Progress{
		Words: display.Words{Done: "is up", Nothing: "is up to date", Failed: "is not up", Silent: true}, Mode: mode, Began: c.Now(),
	})
	var shown cli.Exit
	if errors.As(err, &shown) {
		return errors.New("see above; the next edit tries again")
	}
	return err
}

// agrees asks a question that is no loss to say no to.
func (c *watchCarrier) agrees(ctx context.Context, question string) bool {
	if c.confirm != nil {
		return c.confirm(ctx, question)
	}
	return c.Confirm(question)
}

// showPlan prints what an edit of the stack's files would change, and says
// whether that is anything.
func (c *watchCarrier) showPlan(ctx context.Context, p *spec.Project, opts planner.Options, gone []string) (some bool, err error) {
	plan, err := c.Plan(ctx, c.client, cli.Application{Project: p, Options: opts, Timeout: -1})
	if err != nil {
		return false, err
	}
	for _, name := range gone {
		fmt.Fprintf(c.Stderr, " %s %s   no longer in the stack file\n", c.ErrStyle().Red("-"), name)
	}
	if !plan.IsEmpty() {
		plan.Orphans = nil // said above, or left alone since the beginning
		if err := display.WritePlan(c.Stderr, plan, "text", c.ErrStyle()); err != nil {
			return false, err
		}
	}
	return !plan.IsEmpty() || len(gone) > 0, nil
}

// showPlanNow shows what the stack's files as they are would change.
func (c *watchCarrier) showPlanNow(ctx context.Context) error {
	p, _, err := cli.Source{Services: c.source.Services, Scale: c.source.Scale}.Load(ctx, c.Invocation)
	var shown cli.Exit
	if errors.As(err, &shown) {
		return nil // its mistakes are
	}
	if err != nil {
		return err
	}
	some, err := c.showPlan(ctx, p, planner.Options{Services: c.source.Services}, goneServices(c.current(), p))
	if err == nil && !some {
		fmt.Fprintf(c.Stderr, " %s the stack is as its files say\n", c.ErrStyle().Dim("·"))
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
