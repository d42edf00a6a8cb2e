package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/watch"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// watchFlags are the flags of watch, and of up --watch.
type watchFlags struct {
	noUp      bool
	ask       bool
	gitIgnore bool
}

func (a *app) watchCommand() *cobra.Command {
	var f watchFlags
	c := &cobra.Command{
		Use:   "watch [SERVICE...]",
		Short: "Bring the stack up and keep it in step with the working tree",
		Example: "  orlop watch       sync, restart or rebuild as develop.watch says, or as builds read\n" +
			"  orlop up --watch  the same, beside the stack's logs",
		ValidArgsFunction: a.completeServices,
		RunE:              func(c *cobra.Command, args []string) error { return a.watch(c.Context(), args, f) },
	}
	c.Flags().BoolVar(&f.noUp, "no-up", false, "watch what runs, without bringing it up first")
	f.flags(c)
	return c
}

func (f *watchFlags) flags(c *cobra.Command) {
	c.Flags().BoolVar(&f.ask, "ask", false, "ask before a change of the stack file is applied")
	c.Flags().BoolVar(&f.gitIgnore, "gitignore", false, "leave out what git leaves out: .gitignore files, nested ones too, and git's own excludes")
}

func (a *app) watch(ctx context.Context, services []string, f watchFlags) error {
	ctx, cancel := a.interruptible(ctx)
	defer cancel()
	source := &stackSource{app: a, services: services}
	project, err := source.load(ctx)
	if err != nil {
		return err
	}
	client, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	behind := false
	if !f.noUp {
		w := words{done: "is up", nothing: "is up to date", failed: "is not up", header: true, counts: true}
		err := a.applyProject(ctx, client, project, planner.Options{Services: services}, w)
		var shown exit
		if behind = errors.As(err, &shown); err != nil && !behind {
			return err // it could not even be planned
		}
	}
	ctx, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	s := &step{client: client, source: source, project: project, flags: f, behind: behind, menu: a.openMenu()}
	s.report = a.newWatchDisplay("ends it")
	if m := s.menu; m != nil {
		defer m.close()
		logs := &followedLogs{app: a, client: client, project: project.Name}
		m.logsOf, m.noLogs = logs.of, "none"
		m.quit, m.quitItem = func() { leave(errLeft) }, "q quit"
	}
	err = a.keepInStep(ctx, s)
	if errors.Is(err, errLeft) || errors.Is(err, errInterrupted) {
		a.sayRunsOn(project.Name)
	}
	if errors.Is(err, errLeft) {
		return nil
	}
	return err
}

// sayRunsOn says what goes on when its user lets go.
func (a *app) sayRunsOn(project string) {
	if a.progress != "quiet" && a.progress != "json" {
		fmt.Fprintf(a.world.Stderr, " %s runs on; see: orlop ps, orlop logs; end it with: orlop down\n", project)
	}
}

// applyProject applies a project and shows how.
func (a *app) applyProject(ctx context.Context, client *api.Client, p *spec.Project, opts planner.Options, w words) error {
	req, done, err := a.request(ctx, client, application{project: p, options: opts, timeout: -1})
	if err != nil {
		return cause(ctx, err)
	}
	defer done()
	stream, err := client.Apply(ctx, req)
	if err != nil {
		return cause(ctx, err)
	}
	chosen := chosenServices(p, opts.Services, opts.NoDeps)
	_, err = a.show(ctx, stream, w, len(chosen), func() []string { return a.addresses(ctx, client, p, chosen) })
	return err
}

// step is what a stack is kept in step with, and how.
type step struct {
	client  *api.Client
	source  *stackSource
	project *spec.Project
	flags   watchFlags
	behind  bool // the up before has failed
	report  func(watch.Event)
	menu    *menu // nil where there is no terminal
}

// errLeft is the cause of what the user ends by a key and leaves running.
var errLeft = errors.New("left to itself")

// keepInStep watches until the context ends.
func (a *app) keepInStep(ctx context.Context, s *step) error {
	p := s.project
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	containers := make(chan watch.Container)
	wg.Go(func() {
		if err := followContainers(ctx, s.client, p.Name, containers); err != nil && ctx.Err() == nil {
			cancel(err)
		}
	})
	carrier := &watchCarrier{app: a, client: s.client, source: s.source, ask: s.flags.ask, project: p}
	var commands <-chan watch.Command
	if m := s.menu; m != nil {
		commands = m.commands
		m.services = func() []string { return slices.Sorted(maps.Keys(carrier.current().Services)) }
		m.showPlan = carrier.showPlanNow
		wg.Go(func() { m.run(ctx) })
	}
	return watch.Run(ctx, watch.Config{
		Project: p, Files: s.source.files, Services: chosenForWatch(p, s.source.services), Behind: s.behind,
		Options: watch.Options{GitIgnore: s.flags.gitIgnore, GitExcludes: a.gitExcludes(ctx), Triggers: triggers(ctx, s.client)},
		Carrier: carrier, Containers: containers, Commands: commands,
		Report: s.report, Now: a.world.Now,
	})
}

// chosenForWatch are the named services with what they depend on; none: all,
// those to come included.
func chosenForWatch(p *spec.Project, names []string) []string {
	if len(names) == 0 {
		return nil
	}
	return chosenServices(p, names, false)
}

// followContainers tells which containers run, from engine to engine.
func followContainers(ctx context.Context, client *api.Client, project string, out chan<- watch.Container) error {
	known := true // what runs when the watch begins
	for {
		err := followOnce(ctx, client, project, known, out)
		if !errors.Is(err, api.ErrLost) || ctx.Err() != nil {
			return err
		}
		known = false
	}
}

func followOnce(ctx context.Context, client *api.Client, project string, known bool, out chan<- watch.Container) error {
	stream, err := client.Watch(ctx, &api.ObserveRequest{Project: project})
	if err != nil {
		return cause(ctx, err)
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return api.ErrLost
		}
		if err != nil {
			return cause(ctx, err)
		}
		if m.Synced {
			continue
		}
		c, err := m.Container.Planner()
		if err != nil {
			return err
		}
		if c.OneOff {
			continue
		}
		running := c.State == planner.Running && !m.Removed
		select {
		case out <- watch.Container{Service: c.Service, ID: c.ID, Running: running, Known: known && m.Initial}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// stackSource loads the stack again and again, and knows the files that it
// is read from.
type stackSource struct {
	*app
	services []string
	noDeps   bool
	scale    []string
	files    []string
}

func (s *stackSource) load(ctx context.Context) (*spec.Project, error) {
	read := map[string]bool{}
	opts := s.options(s.services)
	opts.Only, opts.NoDeps = true, s.noDeps
	opts.Reading = func(path string) { read[path] = true }
	project, err := s.loadWith(ctx, opts, true)
	s.files = slices.Sorted(maps.Keys(read))
	if err != nil {
		return nil, err
	}
	if _, err := project.Select(s.services, true); err != nil {
		return nil, err
	}
	return project, rescale(project, s.scale)
}

// took is a time span in the unit that reads best.
func took(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", max(1, d.Round(time.Millisecond).Milliseconds()))
	}
	return seconds(d)
}
