package up

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/watch"
	"github.com/orlop/orlop/cmd/watch/loop"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// shutdown is the stop of an attached up, and the kill that may follow it; they
// run beside the logs.
type shutdown struct {
	wg     sync.WaitGroup
	ctx    context.Context         // of the attached mode, set before the first call
	cancel context.CancelCauseFunc // ends it

	mu     sync.Mutex
	calls  int   // guarded by mu: how many were begun
	failed error // guarded by mu: the newest one's
}

// start asks the engine to stop or kill the services of u.
func (s *shutdown) start(u *run, action planner.Action) {
	s.mu.Lock()
	s.calls++
	call := s.calls
	s.mu.Unlock()
	s.wg.Go(func() { s.ended(call, u.shutDown(s.ctx, action), u.watching != nil) })
}

// ended takes in how a call ended. A failure ends the attached mode, and so does
// the end of the services under a watch, which nothing else ends.
func (s *shutdown) ended(call int, err error, watching bool) {
	if s.ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	superseded := call < s.calls // a kill has begun, which ends a stop
	if !superseded {
		s.failed = err
	}
	s.mu.Unlock()
	switch {
	case superseded:
	case err != nil:
		s.cancel(err)
	case watching:
		s.cancel(cli.ErrInterrupted)
	}
}

// wait waits for what was begun and gives its failure.
func (s *shutdown) wait() error {
	s.wg.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// shutDown stops or kills the services, up to the engine's verdict.
func (u *run) shutDown(ctx context.Context, action planner.Action) error {
	req := &api.LifecycleRequest{Project: u.project.Name, Action: string(action), Services: u.services}
	if len(u.services) == 0 {
		req.Within = cli.Stack{Project: u.project}.Within(action)
	}
	stream, err := u.client.Lifecycle(ctx, req)
	if err != nil {
		err = cli.Cause(ctx, err)
	} else {
		_, err = cli.Follow(ctx, stream, nil, u.sayStopped)
	}
	if err == nil {
		return nil
	}
	state := map[planner.Action]string{planner.Stop: "stopped", planner.Kill: "killed"}[action]
	return fmt.Errorf("%s is not %s: %w; what still runs: orlop ps", u.project.Name, state, err)
}

// sayStopped tells what is printed by commands that run before a container is stopped, and says that it was, where plain progress is asked
// for: as Compose does.
func (u *run) sayStopped(e planner.Event) {
	u.sayHooked(e.Masked(u.Mask.Text))
	word := map[planner.Action]string{planner.Stop: "Stopped", planner.Kill: "Killed"}[e.Action]
	if u.Progress == "plain" && e.Kind == planner.Done && word != "" {
		fmt.Fprintf(u.Stderr, " Container %s-%s %s\n", u.project.Name, composeReplica(e.Resource), word)
	}
}

// hooked is a display that keeps what commands have printed that run when containers are started.
type hooked struct{ events []planner.Event }

func (h *hooked) Plan(*planner.Plan)     {}
func (h *hooked) Finish(display.Summary) {}
func (h *hooked) Abort()                 {}
func (h *hooked) Event(e planner.Event) {
	if e.Kind == planner.Progressed && len(e.Lines) > 0 && e.Action != planner.Build {
		h.events = append(h.events, e)
	}
}

// sayHooked shows what a command in a container has printed among the logs.
func (u *run) sayHooked(e planner.Event) {
	logs := u.merge.Load()
	if logs != nil && e.Kind == planner.Progressed && len(e.Lines) > 0 && u.logs.shows(u.project, e.Service) {
		logs.Hooked(e.Service, composeReplica(e.Resource), e.Lines)
	}
}

// attached shows logs and exits until every container has ended or the user
// has let go.
func (u *run) attached(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	u.shutdown.ctx, u.shutdown.cancel = ctx, cancel
	defer u.shutdown.wg.Wait()
	defer cancel(nil)

	known, err := cli.Observe(ctx, u.client, cli.Stack{Name: u.project.Name, Project: u.project})
	if err != nil {
		return cli.Cause(ctx, err)
	}
	u.orphans = orphans(u.project, known)
	u.sayFollows(known)
	logs := display.NewLogMerge(u.NewLogPrinter(u.format, known))
	u.merge.Store(logs)
	u.sayAttached(known)
	for _, e := range u.hooked.events {
		u.sayHooked(e)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	wg.Go(func() {
		if err := u.readLogs(ctx, logs, true, nil); err != nil && ctx.Err() == nil {
			cancel(cli.Cause(ctx, err))
		}
	})
	if u.watching == nil && u.menu != nil {
		u.setMenu(u.menu, logs, cancel)
		wg.Go(func() { u.menu.Attend(ctx, u.chosen) })
	}
	if u.watching != nil {
		wg.Go(func() {
			if err := u.keepWatching(ctx, logs, cancel); err != nil && ctx.Err() == nil {
				cancel(cli.Cause(ctx, err))
			}
		})
	}
	if u.stopAtOnce {
		u.stopAfterFailure(known)
	}
	return u.outcome(ctx, u.watchExits(ctx, logs))
}

// orphans are the services of containers that the project does not have.
func orphans(p *spec.Project, known []planner.Container) (names []string) {
	for _, c := range known {
		if p.Services[c.Service] == nil {
			names = append(names, c.Service)
		}
	}
	return names
}

// outcome is how the attached mode ended: err is that of following the exits.
func (u *run) outcome(ctx context.Context, err error) error {
	switch failed := u.shutdown.wait(); {
	case failed != nil:
		return failed
	case u.interrupts.interrupted():
		return cli.ErrInterrupted
	case errors.Is(context.Cause(ctx), watch.ErrLeft):
		u.SayRunsOn(u.project.Name)
		return nil
	case err == nil:
		return u.ending.result()
	case ctx.Err() == nil:
		return err
	}
	return context.Cause(ctx)
}

// sayFollows says what an up goes on with that had nothing to do: logs may
// be long in coming. Under a menu its line says so.
func (u *run) sayFollows(known []planner.Container) {
	active := u.activeServices()
	runs := slices.ContainsFunc(known, func(c planner.Container) bool {
		return c.State == planner.Running && !c.OneOff && slices.Contains(active, c.Service)
	})
	if u.unchanged && runs && u.watching == nil && !u.IsSilent() {
		fmt.Fprintf(u.Stderr, " following its logs; Ctrl-C stops %s\n", cmp.Or(strings.Join(u.services, ", "), "the stack"))
	}
}

// keepWatching keeps the stack in step beside its logs.
func (u *run) keepWatching(ctx context.Context, logs *display.LogMerge, leave context.CancelCauseFunc) error {
	report := watch.NewDisplay(u.Invocation, "stops the stack")
	u.watching.Report = func(e loop.Event) { logs.Between(func() { report(e) }) }
	if m := u.watching.Menu; m != nil {
		u.setMenu(m, logs, leave)
	}
	return watch.Keep(ctx, u.Invocation, u.watching)
}

// setMenu says what the keys of a menu do.
func (u *run) setMenu(m *watch.Menu, logs *display.LogMerge, leave context.CancelCauseFunc) {
	m.LogsOf, m.NoLogs = func(_ context.Context, service string) { logs.Only(service) }, "all"
	m.Quit, m.QuitItem = u.interrupts.press, "q/Ctrl-C stop and quit"
	m.Detach = func() { leave(watch.ErrLeft) }
}

// readLogs passes what the services print since the up began.
func (u *run) readLogs(ctx context.Context, logs *display.LogMerge, follow bool, containers []string) error {
	req := &api.LogsRequest{
		Project: u.project.Name, Services: u.logged(), Follow: follow, Tail: -1,
		SinceUnixNs: u.since.UnixNano(), Containers: containers, Masked: u.InWorkflow(),
	}
	return cli.PrintLines(ctx, u.client, req, &shownLines{logs.Reader(), u})
}

// shownLines prints those lines that the run shows: a run beside it shows its own.
type shownLines struct {
	cli.LinePrinter
	u *run
}

func (s *shownLines) Add(l *api.LogLine) {
	if !l.OneOff && s.u.logs.shows(s.u.project, l.Service) && !slices.Contains(s.u.orphans, l.Service) {
		s.LinePrinter.Add(l)
	}
}

// watchExits says when a container ends, after its last line, and returns
// when none is left that runs.
func (u *run) watchExits(ctx context.Context, logs *display.LogMerge) error {
	doc, err := cli.Marshal(u.project)
	if err != nil {
		return err
	}
	states := watched{services: u.activeServices(), orphans: u.orphans, since: u.since}
	return cli.AcrossEngines(ctx, func() error {
		states.begin()
		return u.watchOnce(ctx, doc, logs, &states)
	})
}

// watchOnce is watchExits under one engine.
func (u *run) watchOnce(ctx context.Context, doc []byte, logs *display.LogMerge, states *watched) error {
	stream, err := u.client.Watch(ctx, &api.ObserveRequest{Project: u.project.Name, Document: doc})
	if err != nil {
		return cli.Cause(ctx, err)
	}
	for {
		change, err := stream.Recv()
		if err != nil {
			return cli.Cause(ctx, err)
		}
		c, news, err := states.apply(change)
		if err != nil {
			return err
		}
		if news != "" {
			if err := u.readLogs(ctx, logs, false, []string{c.ID}); err != nil {
				return cli.Cause(ctx, err)
			}
			u.sayExit(logs, news)
			u.followExit(logs, c)
		}
		if states.isOver() && u.watching == nil { // what has ended may be mended
			return nil
		}
	}
}

// sayAttached names the containers whose logs follow, where plain progress is asked for: as Compose does.
func (u *run) sayAttached(known []planner.Container) {
	if u.Progress != "plain" {
		return
	}
	var names []string
	for _, c := range known {
		if !c.OneOff && slices.Contains(u.activeServices(), c.Service) {
			names = append(names, composeReplica(display.Replica(&c)))
		}
	}
	fmt.Fprintln(u.Stdout, "Attaching to "+strings.Join(names, ", "))
}

// sayExit says that a container has ended: among what the services print where plain progress is asked for, as Compose does.
func (u *run) sayExit(logs *display.LogMerge, news string) {
	if u.Progress == "plain" {
		logs.Between(func() { fmt.Fprintln(u.Stdout, composeReplica(news)) })
		return
	}
	logs.Say(news)
}

// composeReplica has a replica at the beginning of a text called as Compose calls it: web-1.
func composeReplica(text string) string { return strings.Replace(text, "/", "-", 1) }

// watched is what an attached up knows of its containers.
type watched struct {
	services []string // none: all but orphans
	orphans  []string
	since    time.Time // exits before it are old news
	states   map[string]planner.State
	before   map[string]planner.State // under an engine that went away
	synced   bool
}

// begin makes ready for the states as an engine first tells them.
func (w *watched) begin() {
	w.before, w.states, w.synced = w.states, map[string]planner.State{}, false
}

// apply takes in a change and gives what is to be said of it, or "".
func (w *watched) apply(m *api.ContainerChange) (c *planner.Container, news string, err error) {
	if m.Synced {
		w.synced = true
		return nil, "", nil
	}
	now, err := m.Container.Planner()
	if err != nil {
		return nil, "", err
	}
	c = &now
	if c.OneOff || slices.Contains(w.orphans, c.Service) || len(w.services) > 0 && !slices.Contains(w.services, c.Service) {
		return c, "", nil
	}
	if m.Removed {
		delete(w.states, c.ID)
		return c, "", nil
	}
	before, known := w.states[c.ID]
	if !known {
		before, known = w.before[c.ID]
	}
	w.states[c.ID] = c.State
	if before == c.State || !known && !c.ExitedAt.After(w.since) {
		return c, "", nil
	}
	switch c.State {
	case planner.Exited:
		return c, fmt.Sprintf("%s exited with code %d", display.Replica(c), c.ExitCode), nil
	case planner.Restarting:
		return c, fmt.Sprintf("%s exited with code %d and is restarted", display.Replica(c), c.ExitCode), nil
	}
	return c, "", nil
}

// isOver says that nothing is left to wait for.
func (w *watched) isOver() bool {
	if !w.synced {
		return false
	}
	for _, state := range w.states {
		if state != planner.Exited && state != planner.Created {
			return false
		}
	}
	return true
}
