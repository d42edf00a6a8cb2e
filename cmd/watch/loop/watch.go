// Package loop keeps a running stack in step with the working tree: it
// watches the files that the stack's rules are about, decides what a change
// means for each service, and has it carried out. Rules, batches and queues
// are pure; the tree reads files; all that touches containers is the
// executor's. It knows neither the engine nor any display.
package loop

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/orlop/orlop/spec"
)

// Executor carries out what a watch decides. Its methods are called from
// several goroutines, for one service those of one kind one after another.
type Executor interface {
	// Sync writes entries into all containers of a service; each hands them to
	// put, in their order.
	Sync(ctx context.Context, service string, each func(put func(Entry) error) error) (Synced, error)
	// Restart restarts the containers of a service, or starts those that ended.
	Restart(ctx context.Context, service string) error
	// RestartAll restarts the containers of services in the order of their
	// dependencies, but no one-shot that has completed. It tells of each
	// service that it tried to restart how that ended.
	RestartAll(ctx context.Context, services []string, ended func(service string, err error)) error
	// Exec runs a command in each running container of a service, and gives the
	// end of what it printed.
	Exec(ctx context.Context, service string, hook *spec.Hook) (output []string, err error)
	// Build builds the image of a service if what it is built from changed, or
	// in any case if asked. It calls begun if there is something to build.
	Build(ctx context.Context, service string, asked bool, begun func()) (Built, error)
	// Replace brings the containers of a service to its image, and waits
	// until they are ready or the context ends. It says whether any was another.
	Replace(ctx context.Context, service string) (changed bool, err error)
	// Reload reads the stack again. files are those that the outcome
	// depends on, also where there is an error. An error was shown already.
	Reload(ctx context.Context) (p *spec.Project, files []string, err error)
	// Apply brings the stack to the project that was loaded last.
	Apply(ctx context.Context, p *spec.Project) error
}

// ErrAbsent is in the error of Sync where the service has no container; the
// whole error says why.
var ErrAbsent = errors.New("it has no container")

// ErrDeclined is the error of Apply where the user said no.
var ErrDeclined = errors.New("left as it is")

// Synced is what a sync did; a file that was the same already is not counted.
type Synced struct {
	Files, Removed int
	Failures       []Failure
	// Still is why no container of the service runs, where none does: they have
	// the files when they are started. It may be an *OutputError.
	Still error
}

// Failure is a path that could not be written in a container.
type Failure struct {
	Container, Path, Message string
}

// Built is what a build did.
type Built struct {
	Ran     bool
	Changed bool
	Step    string        // what took longest
	StepFor time.Duration // and how long
}

// OutputError is an error with the output that explains it.
type OutputError struct {
	Message string
	Lines   []string
	Of      error // what it is one of, or nil
}

func (e *OutputError) Error() string { return e.Message }

// Unwrap is what the error is one of.
func (e *OutputError) Unwrap() error { return e.Of }

// Kind says what an Event tells.
type Kind string

// The kinds of events.
const (
	Ready     Kind = "ready"
	SyncDone  Kind = "synced"
	Restarted Kind = "restarted"
	Executed  Kind = "executed"
	Building  Kind = "building"
	Rebuilt   Kind = "rebuilt"
	Unchanged Kind = "unchanged" // a build whose outcome was the image that is there
	Applied   Kind = "applied"
	Failed    Kind = "failed"
	Note      Kind = "note"
	Warning   Kind = "warning" // of the stack file: its place is in the text
)

// Event is one thing that happened. Times are in nanoseconds.
type Event struct {
	Time       time.Time     `json:"time"`
	Service    string        `json:"service,omitempty"`
	Kind       Kind          `json:"kind"`
	Files      int           `json:"files,omitempty"`
	Removed    int           `json:"removed,omitempty"`
	Took       time.Duration `json:"took,omitempty"`
	Step       string        `json:"step,omitempty"` // of a build: what took longest
	StepFor    time.Duration `json:"step_took,omitempty"`
	ReadyAfter time.Duration `json:"settled,omitempty"` // of a rebuild: from the image until all was ready
	Text       string        `json:"text,omitempty"`
	Lines      []string      `json:"lines,omitempty"`
}

// Container is a change of a container of the stack.
type Container struct {
	Service, ID string
	Running     bool
	Known       bool // it ran before the watch began
}

// Command is what a user asks a running watch for.
type Command uint8

// The commands.
const (
	Rebuild Command = iota // all services that are built
	RestartAll
	Pause // or go on
)

// Config is what a watch works with.
type Config struct {
	Project    *spec.Project
	Files      []string  // of the stack: an edit of them is a new plan
	Since      time.Time // when the stack was about to be read, by FileClock: what was written from then on has changed
	Held       []string  // files that rules were about then
	Behind     bool      // the stack does not match its files: what changes is tried with all of it
	Services   []string  // none: all
	Options    Options
	Executor   Executor
	Containers <-chan Container
	Commands   <-chan Command // may be nil
	Report     func(Event)    // called from one goroutine at a time
	Now        func() time.Time
}

// rescanTime is how often directories are looked at that the kernel does not
// watch for us, at most.
const rescanTime = 2 * time.Second

// Run watches until the context ends. An error says that nothing could be
// watched at all.
func Run(ctx context.Context, cfg Config) error {
	w := &watcher{Config: cfg, queues: map[string]*queue{}, done: make(chan func()), strangers: map[string]map[string]Container{}}
	notify, events, errs, closeNotify := w.openNotify()
	defer closeNotify()
	rules, err := w.rules(cfg.Project, cfg.Files)
	if err != nil {
		return err
	}
	w.tree = newTree(scope{rules}, notify)
	meanwhile := append(w.tree.begin(cfg.Since), gone(cfg.Held)...)
	w.setRules(rules)
	c := &collector{events: events, errors: errs, batches: make(chan batch), now: cfg.Now}
	ctx, cancel := context.WithCancelCause(ctx)
	defer w.running.Wait()
	defer cancel(nil)
	complaints := make(chan error, 1)
	w.running.Go(func() {
		c.run(ctx, func(err error) {
			select {
			case complaints <- err:
			default: // one is said already, and the next looks the same
			}
		})
	})
	w.warn()
	w.ready()
	w.changed(meanwhile)
	return w.loop(ctx, c.batches, complaints)
}

// watcher is one watch. All its fields belong to the goroutine of loop; what
// others have done they tell by a function on done.
type watcher struct {
	Config
	tree    *tree
	queues  map[string]*queue
	cancels map[string]context.CancelCauseFunc // of builds
	running sync.WaitGroup
	done    chan func()
	burst   burst // not handed on yet
	// strangers are the containers that run of services that no rule is about,
	// by service and ID: an edit may bring rules once its containers run.
	strangers map[string]map[string]Container

	limited    bool // that the kernel's limit is reached was said
	overflowed bool // that events were lost was said
	paused     bool
	stale      bool // the stack's files changed
	applying   bool
	restarts   bool          // all services, by the user
	warned     []string      // what of the stack was warned about
	looked     time.Time     // when what is not watched was looked at
	looking    time.Duration // how long that took
}

// openNotify opens the kernel's notifications; where it gives none, all is
// looked at again and again.
func (w *watcher) openNotify() (notifier, <-chan fsnotify.Event, <-chan error, func()) {
	fs, err := fsnotify.NewWatcher()
	if err != nil {
		return deaf{err}, make(chan fsnotify.Event), make(chan error), func() {}
	}
	return fs, fs.Events, fs.Errors, func() { fs.Close() }
}

// deaf is a notifier that watches nothing.
type deaf struct{ err error }

func (d deaf) Add(string) error    { return d.err }
func (d deaf) Remove(string) error { return nil }

func (w *watcher) rules(p *spec.Project, files []string) ([]*Rule, error) {
	rules, err := Compile(p, w.Services, w.Options)
	if err != nil {
		return nil, err
	}
	rules = append(rules, gitRules(rules)...)
	for _, f := range append(slices.Clone(files), IgnoreFiles(p)...) {
		rules = append(rules, fileRule(f))
	}
	return append(rules, linkRules(p.WorkingDir, rules)...), nil
}

func (w *watcher) setRules(rules []*Rule) {
	for _, r := range rules {
		if q := w.queues[r.Service]; r.Service != "" && q == nil {
			w.queues[r.Service] = newQueue(r.Service, rules)
			w.queues[r.Service].origin = w.tree.origin
			w.queues[r.Service].paused = w.paused
		}
	}
	for name, q := range w.queues {
		q.setRules(rules)
		if w.Project.Services[name] == nil {
			delete(w.queues, name)
			continue
		}
		q.begin(w.under)
	}
	for name := range w.queues {
		early := w.strangers[name]
		delete(w.strangers, name)
		for _, id := range slices.Sorted(maps.Keys(early)) {
			w.container(early[id])
		}
	}
}

// under are the known files of a rule.
func (w *watcher) under(r *Rule) []string {
	var files []string
	w.tree.files(r.root, func(file string) {
		if r.Holds(file) && file != r.root || file == r.root && w.tree.folders[file] == nil {
			files = append(files, file)
		}
	})
	return files
}

func (w *watcher) ready() {
	services := slices.Sorted(maps.Keys(w.queues))
	w.report(Event{Kind: Ready, Files: len(services), Text: "watching " + spec.Plural(len(w.tree.watched)+len(w.tree.blind), "folder")})
	if len(services) == 0 {
		w.report(Event{Kind: Note, Text: "no service has develop.watch or build: only the stack file is watched"})
	}
}

// warn says once what of the rules can't be as meant.
func (w *watcher) warn() {
	var said []string
	for _, d := range missing(w.Project, w.tree.scope.rules) {
		said = append(said, d.String())
		if !slices.Contains(w.warned, d.String()) {
			w.report(Event{Kind: Warning, Text: d.String()})
		}
	}
	w.warned = said
}

func (w *watcher) report(e Event) {
	e.Time = w.Now()
	w.Report(e)
}

func (w *watcher) loop(ctx context.Context, batches <-chan batch, complaints <-chan error) error {
	w.cancels = map[string]context.CancelCauseFunc{}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		w.sayLimit()
		w.dispatch(ctx)
		timer.Reset(w.untilWake())
		select {
		case <-ctx.Done():
			return w.drain(ctx)
		case b := <-batches:
			w.take(b)
		case tell := <-w.done:
			tell()
		case c, ok := <-w.Containers:
			if !ok {
				w.Containers = nil
				continue
			}
			w.container(c)
		case c := <-w.Commands:
			w.command(c)
		case err := <-complaints:
			w.report(Event{Kind: Note, Text: err.Error()})
		case <-timer.C:
			w.lookAgain()
		}
		w.handOn()
	}
}

// drain waits for what was begun; each of them ends with the context.
func (w *watcher) drain(ctx context.Context) error {
	over := make(chan struct{})
	go func() { w.running.Wait(); close(over) }()
	for {
		select {
		case <-w.done:
		case <-over:
			return context.Cause(ctx)
		}
	}
}

func (w *watcher) sayLimit() {
	if w.tree.limit != nil && !w.limited {
		w.limited = true
		w.report(Event{Kind: Note, Text: w.tree.limit.Error()})
	}
}

// untilWake is how long nothing has to be done of ourselves.
func (w *watcher) untilWake() time.Duration {
	now, held := w.Now(), w.isHeld()
	wait := time.Hour
	for _, q := range w.queues {
		if at := q.wake(now, held); !at.IsZero() && !w.restarts { // a restart waits for what goes on, which tells of its end
			wait = min(wait, max(at.Sub(now), 0))
		}
	}
	if at := w.burst.due(); !at.IsZero() {
		wait = min(wait, max(at.Sub(now), 0))
	}
	if len(w.tree.blind) > 0 {
		wait = min(wait, max(w.lookAt().Sub(now), 0))
	}
	return wait
}

// lookAt is when the directories that the kernel does not watch are looked at
// next: seldom enough to take a twentieth of a processor at most.
func (w *watcher) lookAt() time.Time { return w.looked.Add(max(rescanTime, 20*w.looking)) }

func (w *watcher) lookAgain() {
	if began := w.Now(); len(w.tree.blind) > 0 && !began.Before(w.lookAt()) {
		w.changed(w.tree.lookAgain())
		w.looked = w.Now()
		w.looking = w.looked.Sub(began)
	}
}

func (w *watcher) take(b batch) {
	if b.overflow {
		if !w.overflowed {
			w.overflowed = true
			w.report(Event{Kind: Note, Text: "more changed at once than the kernel can queue, so everything is compared; for larger bursts run " +
				sysctl("fs.inotify.max_queued_events", 131_072) + " and restart the watch"})
		}
		w.burst.add(b, w.tree.survey())
	} else {
		w.burst.add(b, w.tree.resolve(b.paths))
	}
	for _, path := range w.tree.rewritten {
		for _, q := range w.queues {
			q.rewritten(path)
		}
	}
	w.tree.rewritten = nil
}

// handOn hands a burst to the services once it is whole.
func (w *watcher) handOn() {
	if at := w.burst.due(); !at.IsZero() && !w.Now().Before(at) {
		w.changed(w.burst.take())
	}
}

// changed hands changes to the services that they are about.
func (w *watcher) changed(paths []string) {
	redefined := false // a Dockerfile may copy something else now
	for _, path := range paths {
		for _, q := range w.queues {
			ours := q.change(path)
			w.stale = w.stale || ours && w.Behind
		}
		redefined = redefined || slices.ContainsFunc(w.tree.scope.rules, func(r *Rule) bool { return r.defines && r.Holds(path) })
		if !w.stale {
			w.stale = slices.ContainsFunc(w.tree.scope.rules, func(r *Rule) bool { return r.Service == "" && !r.defines && r.Holds(path) })
		}
	}
	if redefined {
		w.watchFiles(w.Project, w.Files, time.Time{})
	}
}

func (w *watcher) container(c Container) {
	q := w.queues[c.Service]
	switch {
	case q == nil && !c.Running:
		delete(w.strangers[c.Service], c.ID)
	case q == nil:
		if w.strangers[c.Service] == nil {
			w.strangers[c.Service] = map[string]Container{}
		}
		w.strangers[c.Service][c.ID] = c
	case !c.Running:
		q.ended(c.ID)
	case c.Known:
		q.known(c.ID)
	default:
		q.started(c.ID, w.under)
	}
}

func (w *watcher) command(c Command) {
	switch c {
	case Pause:
		w.paused = !w.paused
		for _, q := range w.queues {
			q.paused = w.paused
		}
		text := "watching again"
		if w.paused {
			text = "watching is paused: changes are kept until you resume; rebuild and restart still work"
		}
		w.report(Event{Kind: Note, Text: text})
	case RestartAll:
		w.restarts = true
	case Rebuild:
		for name, q := range w.queues {
			if s := w.Project.Services[name]; s != nil && s.Build != nil {
				q.rebuild, q.asked = true, true
			}
		}
	}
}
