package cmd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/watch"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// upFlags are the flags of up beside the selection.
type upFlags struct {
	selection
	detach      bool
	wait        bool
	waitTimeout int
	print       display.LogFormat
	watch       bool
	watchFlags  watch.Flags
	ending      ending
	cache       cacheFlags
}

func (a *app) upCommand() *cobra.Command {
	var f upFlags
	c := &cobra.Command{
		Use:   "up [SERVICE...]",
		Short: "Build what changed and bring the stack up",
		Example: "  orlop up            bring everything up and show its logs\n" +
			"  orlop up -d --wait  in the background, ready when it returns",
		ValidArgsFunction: a.completeServices,
		RunE:              func(c *cobra.Command, args []string) error { return a.up(c.Context(), args, f) },
	}
	f.selection.flags(c)
	c.Flags().BoolVarP(&f.detach, "detach", "d", false, "return when the stack is up, without its logs")
	c.Flags().BoolVar(&f.wait, "wait", false, "return when every service is healthy or running; implies -d")
	c.Flags().IntVar(&f.waitTimeout, "wait-timeout", 0, "`seconds` to wait at most")
	c.Flags().BoolVarP(&f.watch, "watch", "w", false, "keep the stack in step with the working tree")
	watchFlagsOf(c, &f.watchFlags)
	f.ending.flags(c)
	f.cache.flags(c)
	c.Flags().BoolVar(&f.print.NoPrefix, "no-log-prefix", false, "show log lines without the container's name")
	c.Flags().BoolVar(&f.print.NoColor, "no-color", false, "show log lines without colours")
	c.Flags().BoolVar(&f.print.Times, "timestamps", false, "show the time of each log line")
	return c
}

func (a *app) up(ctx context.Context, services []string, f upFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	source := cli.Source{Services: services, NoDeps: f.noDeps, Scale: f.scale}
	project, files, err := source.Load(ctx, a.Invocation)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if err := f.ending.mustHave(cli.ChosenServices(project, services, f.noDeps)); err != nil {
		return err
	}
	u := &upRun{Invocation: a.Invocation, project: project, services: services, since: a.Now(), format: f.print, ending: f.ending}
	u.interrupts = onInterrupt(a.Invocation, func(r response) { u.respond(r, cancel) })
	defer u.interrupts.close()
	if u.client, err = a.Connect(ctx); err != nil {
		return err
	}
	defer u.client.Close()
	if err := u.applyAll(ctx, f); err != nil {
		return u.endAfterFailure(err, func() error { return u.attach(ctx) })
	}
	if !f.stays() {
		return nil
	}
	if f.watch {
		u.watching = &watch.Config{Client: u.client, Source: source, Files: files, Project: project, Flags: f.watchFlags, Menu: watch.OpenMenu(a.Invocation)}
		defer u.watching.Menu.Close()
	}
	return u.attach(ctx)
}

// stays says that the up goes on with the logs when the stack is up.
func (f *upFlags) stays() bool { return !f.detach && !f.wait && !f.noStart && f.waitTimeout <= 0 }

// attach enters the attached mode, unless the user has let go already.
func (u *upRun) attach(ctx context.Context) error {
	if !u.interrupts.attach() {
		return cli.ErrInterrupted
	}
	return u.attached(ctx)
}

// check refuses flags that exclude each other.
func (f *upFlags) check() error {
	if f.watch && !f.stays() {
		return fmt.Errorf("--watch stays with the stack: it excludes --detach, --wait and --no-start; \"orlop watch\" watches without logs")
	}
	if f.ending.wanted() && (f.watch || !f.stays()) {
		return fmt.Errorf("--exit-code-from and --abort-on-container-exit or -failure stay with the stack: they exclude --detach, --wait, --no-start and --watch")
	}
	if err := f.ending.check(); err != nil {
		return err
	}
	return f.selection.check()
}

// upRun is one up, from its request to the end of its logs.
type upRun struct {
	*cli.Invocation
	client     *api.Client
	project    *spec.Project
	services   []string
	since      time.Time
	format     display.LogFormat
	interrupts *interrupts
	shutdown   shutdown
	watching   *watch.Config // nil without --watch
	orphans    []string      // services that run and are not in the stack file
	ending     ending
	stopAtOnce bool // the up failed: what runs is stopped
	unchanged  bool // the stack was up to date
}

func (u *upRun) applyAll(ctx context.Context, f upFlags) error {
	applying, cancel := ctx, context.CancelFunc(func() {})
	if f.waitTimeout > 0 {
		limit := time.Duration(f.waitTimeout) * time.Second
		applying, cancel = context.WithTimeoutCause(ctx, limit, fmt.Errorf(
			"%s is not ready after %s: what runs goes on; see \"orlop ps\"", u.project.Name, limit))
	}
	defer cancel()
	var builds cli.BuildOptions
	if err := f.cache.read(&u.Settings, &builds); err != nil {
		return err
	}
	wait := f.wait || f.waitTimeout > 0
	options := f.options(u.services, wait)
	options.Attached = f.stays()
	options.Again = u.ending.again(u.project)
	w := display.Words{Done: "is up", Nothing: "is up to date", Failed: "is not up", Header: true, Counts: true, Fold: "up " + u.project.Name}
	if f.noStart {
		w.Done, w.Failed = "is created", "is not created"
	}
	chosen := cli.ChosenServices(u.project, u.services, f.noDeps)
	o, err := u.Apply(applying, u.client, cli.Application{Project: u.project, Options: options, Builds: builds, Timeout: f.timeout}, cli.Progress{
		Words: w, Services: len(chosen), Project: u.project,
		Addresses: func() []string { return cli.Addresses(applying, u.client, u.project, chosen) },
	})
	if errors.Is(err, cli.ErrInterrupted) {
		u.sayWhatRuns(ctx)
	}
	u.hints(o.Plan, err == nil)
	u.unchanged = err == nil && o.Plan != nil && o.IsEmpty()
	return err
}

// hints are said at the end: what the plan warns of, which may explain a
// failure, and what it left aside.
func (u *upRun) hints(p *planner.Plan, succeeded bool) {
	if p == nil || u.IsSilent() {
		return
	}
	st := u.ErrStyle()
	for _, w := range p.Masked(u.Mask.Text).Warnings {
		fmt.Fprintln(u.Stderr, st.Yellow(" ! "+w))
	}
	u.LeaveOrphans(p)
	if len(p.Orphans) > 0 && succeeded {
		fmt.Fprintf(u.Stderr, " %s no longer in the stack file: %s   remove with --remove-orphans\n",
			st.Yellow("!"), strings.Join(p.Orphans, ", "))
	}
}

// sayWhatRuns tells, after an interrupt, what the engine has got to.
func (u *upRun) sayWhatRuns(ctx context.Context) {
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
	fmt.Fprintf(u.Stderr, " interrupted; %s. Go on with: orlop up; undo with: orlop down\n", text)
}

// respond carries out what an interrupt asks for.
func (u *upRun) respond(r response, cancel context.CancelCauseFunc) {
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
func (u *upRun) activeServices() []string {
	if len(u.services) > 0 || u.watching != nil {
		return u.services
	}
	return slices.Sorted(maps.Keys(u.project.Services))
}
