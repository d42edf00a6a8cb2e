package up

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/watch"
	"github.com/orlop/orlop/cmd/watch/loop"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// Options say what is brought up, and what follows.
type Options struct {
	Source      cli.Source
	Plan        planner.Options
	Builds      cli.BuildOptions
	StopTimeout int               // seconds; negative: the containers' own
	ReadyWithin time.Duration     // how long all may take to be ready; 0: for ever
	Stays       bool              // with the logs when the stack is up
	Print       display.LogFormat // of the logs
	Logs        LogFilter
	Watch       *watch.Flags // nil: the working tree is not watched
	Ending      Ending       // of an up that stays
	Menu        bool         // of keys, where it stays on a terminal
}

// Run brings a stack up and stays with it, if that is asked for.
func Run(ctx context.Context, inv *cli.Invocation, o Options) error {
	since := loop.FileClock()
	project, files, err := o.Source.Load(ctx, inv)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(cli.Heard(ctx))
	defer cancel(nil)
	chosen := cli.ChosenServices(project, o.Source.Services, o.Source.NoDeps)
	if err := o.Ending.mustHave(chosen); err != nil {
		return err
	}
	if err := o.Logs.check(project, chosen); err != nil {
		return err
	}
	services, isNone := cli.Containers(project, o.Source.Services)
	u := &run{Invocation: inv, project: project, services: services, chosen: chosen, since: inv.Now(), format: o.Print, logs: o.Logs, ending: o.Ending, read: lookAtAll(files)}
	u.interrupts = onInterrupt(inv, func(r response) { u.respond(r, cancel) })
	defer u.interrupts.close()
	if u.client, err = inv.Connect(ctx); err != nil {
		return err
	}
	defer u.client.Close()
	var held []string
	if o.Watch != nil && !inv.DryRun {
		if held, err = watch.Held(ctx, inv, u.client, project, o.Source.Services, *o.Watch); err != nil {
			return err
		}
	}
	if err := u.bringUp(ctx, o); err != nil || inv.DryRun {
		if inv.DryRun {
			return err
		}
		return u.endAfterFailure(err, func() error { return u.attach(ctx) })
	}
	if !o.Stays || isNone {
		return nil
	}
	if o.Menu {
		u.menu = watch.OpenMenu(inv)
		defer u.menu.Close()
	}
	if o.Watch != nil {
		u.watching = &watch.Config{Client: u.client, Source: o.Source, Files: files, Since: since, Held: held, Project: project, Flags: *o.Watch, Menu: u.menu}
	}
	return u.attach(ctx)
}

// attach enters the attached mode, unless the user has let go already.
func (u *run) attach(ctx context.Context) error {
	if !u.interrupts.attach() {
		return cli.ErrInterrupted
	}
	return u.attached(ctx)
}

// run is one up, from its request to the end of its logs.
type run struct {
	*cli.Invocation
	client     *api.Client
	project    *spec.Project
	services   []string // that it is about; none: all
	chosen     []string // those, with what they depend on
	since      time.Time
	format     display.LogFormat
	logs       LogFilter
	interrupts *interrupts
	shutdown   shutdown
	watching   *watch.Config // nil without --watch
	menu       *watch.Menu   // nil: none
	orphans    []string      // services that run and are not in the stack file
	ending     Ending
	read       map[string]look // the files that it was read from
	stopAtOnce bool            // the up failed: what runs is stopped
	unchanged  bool            // the stack was up to date
	hooked     hooked
	merge      atomic.Pointer[display.LogMerge] // of an attached up; nil before
}

// bringUp applies the project.
func (u *run) bringUp(ctx context.Context, o Options) error {
	applying, cancel := ctx, context.CancelFunc(func() {})
	if limit := o.ReadyWithin; limit > 0 {
		applying, cancel = cli.NoLonger(ctx, u.project.Name, limit)
	}
	defer cancel()
	o.Plan.Attached, o.Plan.Again = o.Stays, u.ending.again(u.project)
	w := display.Words{Done: "is up", Nothing: "is up to date", Failed: "is not up", Header: true, Counts: true, Fold: "up " + u.project.Name}
	if o.Plan.NoStart {
		w.Done, w.Failed = "is created", "is not created"
	}
	application := cli.Application{Project: u.project, Options: o.Plan, Builds: o.Builds, Timeout: o.StopTimeout}
	u.hooked.keeps = o.Stays
	waits := &waiting{display.NewBoard(u.Now())}
	out, err := u.Apply(applying, u.client, application, cli.Progress{
		Words: w, Services: len(u.chosen), Project: u.project,
		Seen:        func() cli.Sight { return u.See(applying, u.client, u.project.Name, u.chosen) },
		Interrupted: func() { u.sayWhatRuns(ctx) }, Beside: []display.Display{waits, &u.hooked},
	})
	if u.DryRun {
		return err
	}
	u.sayWaiting(applying, waits)
	u.hints(out.Plan, err == nil)
	u.sayEdited()
	u.unchanged = err == nil && out.Plan != nil && out.IsEmpty()
	return err
}

// hints are said at the end: what the plan warns of, which may explain a
// failure, and what it left aside.
func (u *run) hints(p *planner.Plan, succeeded bool) {
	if p == nil || u.IsSilent() {
		return
	}
	st := u.ErrStyle()
	for _, w := range p.Masked(u.Mask.Text).Warnings {
		fmt.Fprintln(u.Stderr, st.Yellow(" ! "+w))
	}
	if profiles := u.project.InactiveProfiles(); len(u.project.Services) == 0 && len(profiles) > 0 {
		fmt.Fprintf(u.Stderr, " %s no service is active: each has a profile; activate it with --profile %s\n", st.Yellow("!"), strings.Join(profiles, " or "))
	}
	u.LeaveOrphans(p)
	if len(p.Orphans) > 0 && succeeded {
		fmt.Fprintf(u.Stderr, " %s no longer in the stack file: %s   remove with --remove-orphans\n",
			st.Yellow("!"), strings.Join(p.Orphans, ", "))
	}
}

// sayWhatRuns tells, after an interrupt, what the engine has got to.
func (u *run) sayWhatRuns(ctx context.Context) {
	ctx, cancel := cli.Detached(ctx)
	defer cancel()
	containers, err := cli.Observe(ctx, u.client, cli.Stack{Name: u.project.Name, Project: u.project})
	if err != nil {
		return
	}
	var running []string
	for _, c := range containers {
		if c.State == planner.Running && !c.OneOff {
			running = append(running, display.Replica(&c))
		}
	}
	text := "nothing of " + u.project.Name + " runs"
	if len(running) > 0 {
		text = "running: " + strings.Join(running, ", ")
	}
	fmt.Fprintf(u.Stderr, " interrupted; %s. Continue with: orlop up; undo with: orlop down\n", text)
}

// respond carries out what an interrupt asks for.
func (u *run) respond(r response, cancel context.CancelCauseFunc) {
	switch r {
	case cancelApply, leave:
		cancel(cli.ErrInterrupted)
	case stopServices:
		u.shutdown.start(u, planner.Stop)
		fmt.Fprintln(u.Stderr, " stopping; press Ctrl-C again to kill")
	case killServices:
		u.shutdown.start(u, planner.Kill)
	}
}

// activeServices are the services whose containers an attached up looks after;
// none are all, those to come included.
func (u *run) activeServices() []string {
	if len(u.services) > 0 || u.watching != nil {
		return u.services
	}
	return slices.Sorted(maps.Keys(u.project.Services))
}
