package loop

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/orlop/orlop/spec"
)

// errSuperseded is why a build is given up: there is a newer tree.
var errSuperseded = errors.New("superseded by a newer change")

// culprit is what compilers print of a mistake: its place and what it is.
var culprit = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[\w./-]+\.\w+:\d+(:\d+)?: \S`) })

// dispatch begins all that can be begun now.
func (w *watcher) dispatch(ctx context.Context) {
	held := w.isHeld()
	w.restartAll(ctx)
	for _, name := range slices.Sorted(maps.Keys(w.queues)) {
		for !w.restarts { // else what is going on ends first
			o := w.queues[name].next(w.Now(), held)
			if o.isEmpty() {
				break
			}
			w.begin(ctx, w.queues[name], o)
		}
	}
	if w.stale && !w.paused && !w.applying && w.isCalm() {
		w.readAhead()
		w.stale, w.applying = false, true
		w.running.Go(func() { w.reload(ctx) })
	}
}

// readAhead looks at the stack's files as they are now that they are about to be read: an edit whose first half was seen
// is not taken for another one when its second is.
func (w *watcher) readAhead() {
	files := map[string]bool{}
	for _, f := range w.Files {
		files[f] = true
	}
	w.changed(w.tree.resolve(files))
}

// isHeld says that the stack itself is changed, or is about to be.
func (w *watcher) isHeld() bool { return w.stale && !w.paused || w.applying }

// restartAll restarts the services if the user asks for it, once nothing is
// going on in their containers; it waits for no pause and no retry.
func (w *watcher) restartAll(ctx context.Context) {
	if !w.restarts || w.applying {
		return
	}
	services := slices.Sorted(maps.Keys(w.queues))
	queues := make([]*queue, 0, len(services))
	for _, name := range services {
		if w.queues[name].acting {
			return
		}
		queues = append(queues, w.queues[name])
	}
	w.restarts = false
	for _, q := range queues {
		q.restart, q.acting = false, true
	}
	w.running.Go(func() {
		began := w.Now()
		var events []Event
		err := w.Executor.RestartAll(ctx, services, func(service string, err error) {
			events = append(events, w.outcome(service, Restarted, "", began, err))
		})
		w.tell(func() {
			for _, q := range queues {
				q.acting = false
			}
			for _, e := range events {
				w.report(e)
			}
			if err != nil {
				w.fail("", "not restarted", err, "")
			}
		})
	})
}

// isCalm says that no container is being changed.
func (w *watcher) isCalm() bool {
	for _, q := range w.queues {
		if q.stage != resting {
			return false
		}
	}
	return true
}

func (w *watcher) begin(ctx context.Context, q *queue, o order) {
	switch {
	case o.cancelBuild:
		w.cancels[q.service](errSuperseded)
	case o.build:
		ctx, cancel := context.WithCancelCause(ctx)
		w.cancels[q.service] = cancel
		began := w.Now()
		w.running.Go(func() {
			defer cancel(nil)
			w.build(ctx, q, o.asked, began)
		})
	default:
		began := w.Now()
		w.running.Go(func() { w.sync(ctx, q, o, began) })
	}
}

// tell hands a function to the loop, which carries it out between two events.
func (w *watcher) tell(f func()) { w.done <- f }

// build builds a service's image and, if it is another one, replaces its
// containers.
func (w *watcher) build(ctx context.Context, q *queue, asked bool, began time.Time) {
	built, err := w.Executor.Build(ctx, q.service, asked, func() {
		w.tell(func() { w.report(Event{Service: q.service, Kind: Building}) })
	})
	imaged := w.Now()
	replace := make(chan bool, 1)
	w.tell(func() {
		given := q.stage == cancelling || ctx.Err() != nil
		wasBroken := q.broken
		goes := q.built(err == nil, built.Changed, w.Now())
		replace <- goes
		switch {
		case goes || given:
		case err != nil:
			stays := ""
			if len(q.container) > 0 {
				stays = "the running container stays"
			}
			w.fail(q.service, "build failed", err, stays)
		case built.Ran && !q.rebuild:
			w.report(Event{Service: q.service, Kind: Unchanged, Took: imaged.Sub(began)})
		case wasBroken && !q.rebuild:
			w.report(Event{Service: q.service, Kind: Unchanged, Text: "builds again; the image is unchanged"})
		}
	})
	select {
	case goes := <-replace:
		if !goes {
			return
		}
	case <-ctx.Done():
		select {
		case goes := <-replace:
			if !goes {
				return
			}
		default:
			return // the watch ends
		}
	}
	w.replace(ctx, q, built, began, imaged)
}

// replace brings the containers of a service to what was built.
func (w *watcher) replace(ctx context.Context, q *queue, built Built, began, imaged time.Time) {
	changed, err := w.Executor.Replace(ctx, q.service)
	ended := w.Now()
	w.tell(func() {
		q.replaced(err == nil)
		switch {
		case errors.Is(context.Cause(ctx), errSuperseded) && err != nil:
			w.report(Event{Service: q.service, Kind: Note, Text: "not ready yet, and there is a newer change"})
		case err != nil:
			w.fail(q.service, "the replacement failed", err, "")
		case !changed:
			w.report(Event{Service: q.service, Kind: Unchanged, Took: ended.Sub(began)})
		default:
			w.report(Event{
				Service: q.service, Kind: Rebuilt, Took: ended.Sub(began), ReadyAfter: ended.Sub(imaged), Step: built.Step, StepFor: built.StepFor,
			})
		}
	})
}

func (w *watcher) fail(service, what string, err error, after string) {
	e := failure(service, what, err)
	if after != "" {
		e.Text += "; " + after
	}
	w.report(e)
}

// failure is the event of an error, with the output that explains it.
func failure(service, what string, err error) Event {
	e := Event{Service: service, Kind: Failed, Text: what + ": " + err.Error()}
	var output *OutputError
	if !errors.As(err, &output) {
		return e
	}
	e.Lines = output.Lines
	at := slices.IndexFunc(output.Lines, culprit().MatchString)
	if at >= 0 && output.Of == nil {
		e.Text = what + ": " + strings.TrimPrefix(output.Lines[at], "./")
	}
	return e
}

// sync writes files and does what follows them.
func (w *watcher) sync(ctx context.Context, q *queue, o order, began time.Time) {
	var done Synced
	var err error
	unread := map[string]error{}
	if len(o.sync) > 0 {
		done, err = w.Executor.Sync(ctx, q.service, func(put func(Entry) error) (err error) {
			unread, err = send(o.sync, put)
			return err
		})
	}
	failed := failures(o, done, unread, err)
	absent := errors.Is(err, ErrAbsent)
	written := w.Now()
	after := w.follow(ctx, q.service, o, done, len(failed) > 0, absent, func() { w.tell(q.restarts) })
	ended := w.Now()
	w.tell(func() {
		again := q.synced(o, failed, absent, ended)
		w.saySynced(q, o, done, unread, err, written.Sub(began), again, len(after) > 0)
		for _, e := range after {
			w.report(e)
		}
	})
}

// failures are the paths of a sync that did not reach every container.
func failures(o order, done Synced, unread map[string]error, err error) []string {
	if err != nil {
		return slices.Sorted(maps.Keys(o.sync))
	}
	failed := map[string]bool{}
	for _, f := range done.Failures {
		failed[f.Path] = true
	}
	for target := range unread {
		failed[target] = true
	}
	return slices.Sorted(maps.Keys(failed))
}

// follow restarts and runs commands after a sync, as the rules of its files
// say, if it changed anything; restarts says so before a restart.
func (w *watcher) follow(ctx context.Context, service string, o order, done Synced, failed, absent bool, restarts func()) []Event {
	restart := o.restart
	var hooks []*spec.Hook
	ran := map[*Rule]bool{}
	if done.Files+done.Removed > 0 || o.force || absent {
		for _, target := range slices.Sorted(maps.Keys(o.sync)) {
			rule := o.sync[target].rule
			restart = restart || rule.Action == spec.WatchSyncRestart && !o.sync[target].again
			if rule.Action == spec.WatchSyncExec && !ran[rule] {
				ran[rule] = true
				hooks = append(hooks, rule.Exec)
			}
		}
	}
	var events []Event
	if failed && !absent {
		return nil // the retry does it
	}
	for _, hook := range hooks {
		if absent || done.Still != nil {
			break
		}
		began := w.Now()
		output, err := w.Executor.Exec(ctx, service, hook)
		e := w.outcome(service, Executed, hook.Command[0], began, err)
		if err == nil {
			e.Lines = output
		}
		events = append(events, e)
	}
	if restart && !absent {
		began := w.Now()
		restarts()
		err := w.Executor.Restart(ctx, service)
		events = append(events, w.outcome(service, Restarted, "", began, err))
	}
	return events
}

func (w *watcher) outcome(service string, kind Kind, text string, began time.Time, err error) Event {
	took := w.Now().Sub(began)
	if err == nil {
		return Event{Service: service, Kind: kind, Text: text, Took: took}
	}
	if text == "" {
		text = "not " + string(kind)
	}
	e := failure(service, text, err)
	e.Took = took
	return e
}

// saySynced tells of a sync. A first failure is tried again before it is said.
func (w *watcher) saySynced(q *queue, o order, done Synced, unread map[string]error, err error, took, again time.Duration, restarts bool) {
	if done.Files+done.Removed > 0 {
		e := Event{Service: q.service, Kind: SyncDone, Files: done.Files, Removed: done.Removed, Took: took}
		if done.Still != nil && !restarts {
			e.Text = done.Still.Error()
			if output, ok := errors.AsType[*OutputError](done.Still); ok {
				e.Lines = output.Lines
			}
		}
		w.report(e)
	}
	text := ""
	switch {
	case q.absent && err != nil:
		w.fail(q.service, spec.Plural(len(q.files), "file")+" not synced yet", err, "")
		return
	case again <= firstRetry:
		return
	case err != nil:
		text = fmt.Sprintf("%s could not be synced: %v", spec.Plural(len(o.sync), "file"), err)
	case len(done.Failures) > 0:
		f := done.Failures[0]
		text = fmt.Sprintf("cannot write %s in %s: %s", f.Path, f.Container, f.Message)
		if n := len(done.Failures); n > 1 {
			text += fmt.Sprintf(", and %d more", n-1)
		}
	default:
		for _, target := range slices.Sorted(maps.Keys(unread)) {
			text = unread[target].Error()
			break
		}
	}
	if again > 0 {
		text += fmt.Sprintf("; retrying in %s", again)
	}
	w.report(Event{Service: q.service, Kind: Failed, Text: text})
}

// reload reads the stack again and applies it.
func (w *watcher) reload(ctx context.Context) {
	began, since := w.Now(), FileClock()
	project, files, err := w.Executor.Reload(ctx)
	if err != nil {
		w.tell(func() {
			w.applying = false
			w.watchFiles(w.Project, files, since)
			w.report(Event{Kind: Failed, Text: "the stack stays as it is until its files are valid"})
		})
		return
	}
	held, _ := Held(project, w.Services, w.Options) // rules that can't be read are told of below
	err = w.Executor.Apply(ctx, project)
	w.tell(func() {
		w.applying = false
		if ctx.Err() != nil {
			return
		}
		held = slices.DeleteFunc(held, w.tree.scope.holds) // of the others it is known what became of them
		isDeclined := errors.Is(err, ErrDeclined)
		if !isDeclined {
			w.Project, w.Behind = project, err != nil
		}
		// Before anything is told: who waits for that may go on to the next edit.
		w.watchFiles(w.Project, files, since)
		w.changed(gone(held))
		switch {
		case isDeclined:
			w.report(Event{Kind: Note, Text: "the stack stays as it is"})
		case err != nil:
			w.fail("", "the stack does not match its files", err, "")
		default:
			w.report(Event{Kind: Applied, Took: w.Now().Sub(began)})
		}
	})
}

// watchFiles takes the rules of a project, and the files of its stack, as they were at a
// time; the zero time is for rules that read otherwise now (see rescope).
func (w *watcher) watchFiles(p *spec.Project, files []string, since time.Time) {
	rules, err := w.rules(p, files)
	if err != nil {
		w.report(Event{Kind: Failed, Text: err.Error()})
		return
	}
	w.Files = files
	moved, gone := w.moved(rules)
	changes := w.tree.rescope(scope{rules}, since)
	w.setRules(rules)
	w.warn()
	for _, r := range moved {
		changes = append(changes, w.under(r)...)
	}
	w.changed(append(changes, gone...))
}
