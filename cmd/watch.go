package cmd

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
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
	ctx, cancel := a.Interruptible(ctx)
	defer cancel()
	source := cli.Source{Services: services}
	project, files, err := source.Load(ctx, a.Invocation)
	if err != nil {
		return err
	}
	client, err := a.Connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	behind := false
	if !f.noUp {
		w := display.Words{Done: "is up", Nothing: "is up to date", Failed: "is not up", Header: true, Counts: true}
		err := applyProject(ctx, a.Invocation, client, project, planner.Options{Services: services}, cli.Progress{Words: w})
		var shown cli.Exit
		if behind = errors.As(err, &shown); err != nil && !behind {
			return err // it could not even be planned
		}
	}
	ctx, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	s := &step{client: client, source: source, files: files, project: project, flags: f, behind: behind, menu: openMenu(a.Invocation)}
	s.report = newWatchDisplay(a.Invocation, "ends it")
	if m := s.menu; m != nil {
		defer m.close()
		logs := &followedLogs{Invocation: a.Invocation, client: client, project: project.Name}
		m.logsOf, m.noLogs = logs.of, "none"
		m.quit, m.quitItem = func() { leave(errLeft) }, "q quit"
	}
	err = keepInStep(ctx, a.Invocation, s)
	if errors.Is(err, errLeft) || errors.Is(err, cli.ErrInterrupted) {
		a.SayRunsOn(project.Name)
	}
	if errors.Is(err, errLeft) {
		return nil
	}
	return err
}

// applyProject applies a project and shows how.
func applyProject(ctx context.Context, inv *cli.Invocation, client *api.Client, p *spec.Project, opts planner.Options, how cli.Progress) error {
	chosen := cli.ChosenServices(p, opts.Services, opts.NoDeps)
	how.Services, how.Project = len(chosen), p
	how.Addresses = func() []string { return cli.Addresses(ctx, client, p, chosen) }
	_, err := inv.Apply(ctx, client, cli.Application{Project: p, Options: opts, Timeout: -1}, how)
	return err
}

// step is what a stack is kept in step with, and how.
type step struct {
	client  *api.Client
	source  cli.Source
	files   []string // that the stack was read from
	project *spec.Project
	flags   watchFlags
	behind  bool // the up before has failed
	report  func(watch.Event)
	menu    *menu // nil where there is no terminal
}

// errLeft is the cause of what the user ends by a key and leaves running.
var errLeft = errors.New("left to itself")

// keepInStep watches until the context ends.
func keepInStep(ctx context.Context, inv *cli.Invocation, s *step) error {
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
	carrier := &watchCarrier{Invocation: inv, client: s.client, source: s.source, ask: s.flags.ask, project: p}
	var commands <-chan watch.Command
	if m := s.menu; m != nil {
		commands = m.commands
		m.services = func() []string { return slices.Sorted(maps.Keys(carrier.current().Services)) }
		m.showPlan, carrier.confirm = carrier.showPlanNow, m.ask
		wg.Go(func() { m.run(ctx) })
	}
	return watch.Run(ctx, watch.Config{
		Project: p, Files: s.files, Services: chosenForWatch(p, s.source.Services), Behind: s.behind,
		Options: watch.Options{GitIgnore: s.flags.gitIgnore, GitExcludes: gitExcludes(ctx, &inv.Settings), Triggers: triggers(ctx, s.client)},
		Carrier: carrier, Containers: containers, Commands: commands,
		Report: s.report, Now: inv.Now,
	})
}

// chosenForWatch are the named services with what they depend on; none: all,
// those to come included.
func chosenForWatch(p *spec.Project, names []string) []string {
	if len(names) == 0 {
		return nil
	}
	return cli.ChosenServices(p, names, false)
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
		return cli.Cause(ctx, err)
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return api.ErrLost
		}
		if err != nil {
			return cli.Cause(ctx, err)
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
