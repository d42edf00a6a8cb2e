package schedule

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/orlop/orlop/planner"
)

// Documents keeps small documents across engines.
type Documents interface {
	Save(bucket, key string, value []byte)
	Delete(bucket, key string)
	Load(bucket string) (map[string][]byte, error)
}

// Runner makes runs.
type Runner interface {
	// Run makes the run of a fire unless it was made, and waits for its end. An error says
	// that there was none, or of the context that it may go on.
	Run(ctx context.Context, j Job, fire time.Time) (planner.Run, error)
	// IsBusy says that a job runs.
	IsBusy(project, job string) bool
}

// Clock is the time of day.
type Clock interface {
	Now() time.Time // in the machine's time zone
	// Wait returns at a time, when the clock is set, when it is woken or with the context;
	// the zero time never comes.
	Wait(ctx context.Context, until time.Time, wake <-chan struct{})
}

// ErrGone is why a fire has no run: its job is scheduled no more.
var ErrGone = errors.New("it is scheduled no more")

// bucket of the store.
const bucket = "schedules"

// Book has the jobs of all projects.
type Book struct {
	docs   Documents
	clock  Clock
	runner Runner
	log    *slog.Logger
	wake   chan struct{}
	runs   sync.WaitGroup

	mu       sync.Mutex
	jobs     map[string]*Job       // guarded by mu: by project and name
	going    map[string]bool       // guarded by mu: whose runs are seen to
	watchers map[*watcher]struct{} // guarded by mu
}

// Open reads what an engine before this one has kept. What can't be read is left out.
func Open(docs Documents, clock Clock, runner Runner, log *slog.Logger) (*Book, error) {
	b := &Book{
		docs: docs, clock: clock, runner: runner, log: log, wake: make(chan struct{}, 1),
		jobs: map[string]*Job{}, going: map[string]bool{}, watchers: map[*watcher]struct{}{},
	}
	kept, err := docs.Load(bucket)
	if err != nil {
		return nil, err
	}
	for key, doc := range kept {
		var j Job
		if err := json.Unmarshal(doc, &j); err != nil || j.Applied == nil {
			log.Warn("a schedule can't be read: it comes back with the next up", "job", key, "error", err)
			continue
		}
		if len(j.Waiting) > 0 {
			j.Begun = j.Waiting[0]
		}
		b.jobs[key] = &j
	}
	return b, nil
}

func keyOf(project, job string) string { return project + "/" + job }

// Put has a job run from now on, or changes it. What it has of runs stays, and what fired
// by its schedules until now is decided by them.
func (b *Book) Put(j Job) {
	isBusy := b.runner.IsBusy(j.Project, j.Name)
	b.mu.Lock()
	defer b.mu.Unlock()
	key := keyOf(j.Project, j.Name)
	j.Since, j.Created = b.clock.Now(), time.Now()
	if old := b.jobs[key]; old != nil {
		isSame := slices.Equal(old.schedules(), j.schedules())
		if !isSame {
			for _, e := range old.decide(j.Since, isBusy) {
				b.tell(e)
			}
		}
		j.Waiting, j.Last, j.Created, j.Begun = old.Waiting, old.Last, old.Created, old.Begun
		if isSame && old.Paused == j.Paused {
			j.Since = old.Since
		}
		*old = j
	} else {
		b.jobs[key] = &j
	}
	b.save(key)
	b.rouse()
}

// Renew gives a job another request, unless it is not there.
func (b *Book) Renew(project, job string, request []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if j := b.jobs[keyOf(project, job)]; j != nil && !slices.Equal(j.Request, request) {
		j.Request = request
		b.save(keyOf(project, job))
	}
}

// Remove ends the schedule of a job.
func (b *Book) Remove(project, job string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.jobs, keyOf(project, job))
	b.docs.Delete(bucket, keyOf(project, job))
	b.rouse()
}

// Pause has a job not run, or run again, from now on. A run that goes on does so.
func (b *Book) Pause(project, job string, isPaused bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := keyOf(project, job)
	if j := b.jobs[key]; j != nil && j.Paused != isPaused {
		j.Paused, j.Since, j.Waiting = isPaused, b.clock.Now(), j.Waiting[:min(1, len(j.Waiting))]
		b.save(key)
		b.rouse()
	}
}

// Of are the jobs of a project by name, and what time it is.
func (b *Book) Of(project string) (map[string]planner.Schedule, time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	var out map[string]planner.Schedule
	for _, j := range b.jobs {
		if j.Project == project {
			if out == nil {
				out = map[string]planner.Schedule{}
			}
			out[j.Name] = j.observed(now)
		}
	}
	return out, now
}

// Jobs are those of all projects, by project and name, and what time it is.
func (b *Book) Jobs() (all []Job, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(b.jobs)) {
		all = append(all, *b.jobs[key])
	}
	return all, b.clock.Now()
}

// Due is a job of which a fire still is to be run; false where none is.
func (b *Book) Due(project, job string) (Job, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	j := b.jobs[keyOf(project, job)]
	if j == nil || j.Paused || len(j.Waiting) == 0 {
		return Job{}, false
	}
	return *j, true
}

// save keeps a job; the caller holds mu.
func (b *Book) save(key string) {
	doc, err := json.Marshal(b.jobs[key])
	if err != nil {
		b.log.Error("cannot keep a schedule", "job", key, "error", err)
		return
	}
	b.docs.Save(bucket, key, doc)
}

// rouse has the next fire looked for; the caller may hold mu.
func (b *Book) rouse() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// Run has jobs run when it is time, until ctx ends. Runs that go on then are left to
// the next engine.
func (b *Book) Run(ctx context.Context) {
	defer b.runs.Wait()
	for ctx.Err() == nil {
		b.clock.Wait(ctx, b.look(ctx), b.wake)
	}
}

// look decides about the fires until now, begins runs, and gives the time of the next fire.
func (b *Book) look(ctx context.Context) (next time.Time) {
	busy := b.busy()
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	for key, j := range b.jobs {
		events := j.decide(now, busy[key])
		for _, e := range events {
			b.tell(e)
		}
		if len(events) > 0 { // else the next engine comes to the same
			b.save(key)
		}
		if len(j.Waiting) > 0 && !b.going[key] {
			b.going[key] = true
			b.runs.Go(func() { b.runAll(ctx, key) })
		}
		if at := j.Next(now); !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next
}

// busy are the jobs that run, by key.
func (b *Book) busy() map[string]bool {
	all, _ := b.Jobs()
	busy := map[string]bool{}
	for _, j := range all {
		busy[keyOf(j.Project, j.Name)] = b.runner.IsBusy(j.Project, j.Name)
	}
	return busy
}

// runAll sees to the runs of a job, one after the other, until none waits.
func (b *Book) runAll(ctx context.Context, key string) {
	for {
		j, ok := b.first(ctx, key)
		if !ok {
			return
		}
		at := j.Waiting[0]
		run, err := b.runner.Run(ctx, j, at)
		if ctx.Err() != nil {
			continue // the next engine goes on with it
		}
		b.ended(key, at, run, err)
	}
}

// first is a job with a fire to be run; false where there is none.
func (b *Book) first(ctx context.Context, key string) (Job, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	j := b.jobs[key]
	if ctx.Err() != nil || j == nil || len(j.Waiting) == 0 {
		delete(b.going, key)
		return Job{}, false
	}
	return *j, true
}

// ended notes the end of a run.
func (b *Book) ended(key string, at time.Time, run planner.Run, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	j := b.jobs[key]
	if j == nil || len(j.Waiting) == 0 || !j.Waiting[0].Equal(at) {
		return // it was scheduled anew meanwhile
	}
	j.Waiting, j.Begun = slices.Clone(j.Waiting[1:]), time.Time{}
	defer b.save(key)
	if errors.Is(err, ErrGone) {
		return
	}
	run.Fire = at
	if err != nil {
		run.Error = err.Error()
	}
	j.Last = &run
	e := j.event(b.clock.Now(), Ended, at, "")
	e.Run = run
	if failure := run.Failure(); failure != "" {
		e.Action, e.Text = Failed, failure
		b.log.Warn("the run of a job failed", "project", j.Project, "job", j.Name, "fire", at, "error", failure)
	}
	b.tell(e)
}
