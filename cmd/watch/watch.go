package watch

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/watch/loop"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// Flags are the flags of watch, and of up --watch.
type Flags struct {
	NoUp      bool
	Ask       bool
	GitIgnore bool
}

// Run brings the stack up and keeps it in step with the working tree until
// the user leaves.
func Run(ctx context.Context, inv *cli.Invocation, services []string, f Flags) error {
	ctx, cancel := inv.Interruptible(ctx)
	defer cancel()
	source, since := cli.Source{Services: services}, loop.FileClock()
	project, files, err := source.Load(ctx, inv)
	if err != nil {
		return err
	}
	client, err := inv.Connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	held, err := Held(ctx, inv, client, project, services, f)
	if err != nil {
		return err
	}
	behind := false
	if !f.NoUp {
		w := display.Words{Done: "is up", Nothing: "is up to date", Failed: "is not up", Header: true, Counts: true}
		err := applyProject(ctx, inv, client, project, planner.Options{Services: services}, cli.Progress{Words: w})
		var shown cli.Exit
		if behind = errors.As(err, &shown); err != nil && !behind || inv.DryRun {
			return err // it could not even be planned, or is not to be done
		}
	}
	ctx, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	s := &Config{Client: client, Source: source, Files: files, Since: since, Held: held, Project: project, Flags: f, behind: behind, Menu: OpenMenu(inv)}
	s.Report = NewDisplay(inv, "ends it")
	if m := s.Menu; m != nil {
		defer m.Close()
		logs := &followedLogs{Invocation: inv, client: client, project: project.Name}
		m.LogsOf, m.NoLogs = logs.of, "none"
		m.Quit, m.QuitItem = func() { leave(ErrLeft) }, "q quit"
	}
	err = Keep(ctx, inv, s)
	if errors.Is(err, ErrLeft) || errors.Is(err, cli.ErrInterrupted) {
		inv.SayRunsOn(project.Name)
	}
	if errors.Is(err, ErrLeft) {
		return nil
	}
	return err
}

// applyProject applies a project and shows how.
func applyProject(ctx context.Context, inv *cli.Invocation, client *api.Client, p *spec.Project, opts planner.Options, how cli.Progress) error {
	chosen := cli.ChosenServices(p, opts.Services, opts.NoDeps)
	how.Services, how.Project = len(chosen), p
	how.Seen = func() cli.Sight { return inv.See(ctx, client, p.Name, chosen) }
	_, err := inv.Apply(ctx, client, cli.Application{Project: p, Options: opts, Timeout: -1}, how)
	return err
}

// Config is what a stack is kept in step with, and how.
type Config struct {
	Client  *api.Client
	Source  cli.Source
	Files   []string  // that the stack was read from
	Since   time.Time // when that began, by loop.FileClock
	Held    []string  // files that the watch is about, as they were before the stack was brought up
	Project *spec.Project
	Flags   Flags
	behind  bool // the up before has failed
	Report  func(loop.Event)
	Menu    *Menu // nil where there is no terminal
}

// ErrLeft is the cause of what the user ends by a key and leaves running.
var ErrLeft = errors.New("left to itself")

// Keep watches until the context ends.
func Keep(ctx context.Context, inv *cli.Invocation, s *Config) error {
	p := s.Project
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	containers := make(chan loop.Container)
	wg.Go(func() {
		if err := followContainers(ctx, s.Client, p.Name, containers); err != nil && ctx.Err() == nil {
			cancel(err)
		}
	})
	x := &executor{Invocation: inv, client: s.Client, source: s.Source, ask: s.Flags.Ask, project: p}
	var commands <-chan loop.Command
	if m := s.Menu; m != nil {
		commands = m.commands
		m.services = func() []string { return slices.Sorted(maps.Keys(x.current().Services)) }
		m.showPlan, x.confirm = x.showPlanNow, m.ask
		wg.Go(func() { m.run(ctx) })
	}
	return loop.Run(ctx, loop.Config{
		Project: p, Files: s.Files, Since: s.Since, Held: s.Held, Services: chosenForWatch(p, s.Source.Services), Behind: s.behind,
		Options:  options(ctx, inv, s.Client, s.Flags),
		Executor: x, Containers: containers, Commands: commands,
		Report: s.Report, Now: inv.Now,
	})
}

// Held are the files that a watch of services will be about, as they are now.
func Held(ctx context.Context, inv *cli.Invocation, client *api.Client, p *spec.Project, services []string, f Flags) ([]string, error) {
	return loop.Held(p, chosenForWatch(p, services), options(ctx, inv, client, f))
}

func options(ctx context.Context, inv *cli.Invocation, client *api.Client, f Flags) loop.Options {
	return loop.Options{GitIgnore: f.GitIgnore, GitExcludes: gitExcludes(ctx, &inv.Settings), Triggers: triggers(ctx, client)}
}

// chosenForWatch are the named services with what they depend on; none: all,
// those to come included.
func chosenForWatch(p *spec.Project, names []string) []string {
	if len(names) == 0 {
		return nil
	}
	return cli.ChosenServices(p, names, false)
}
