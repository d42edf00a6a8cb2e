// Package history remembers what has happened lately to containers and scheduled jobs,
// within bounds. The next engine knows nothing of it.
package history

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/planner/happening"
)

// most is how many events are remembered, of all projects.
const most = 1024

// Source is where containers are.
type Source interface {
	// Containers are those of a project; nobody is called back meanwhile.
	Containers(project string) []planner.Container
	Watch(ctx context.Context, project string, changed func(c planner.Container, removed bool), synced func())
}

// Book is what is remembered.
type Book struct {
	from Source
	now  func() time.Time

	mu    sync.Mutex
	known happening.Known  // guarded by mu
	lines []happening.Line // guarded by mu; in the order in which they were heard
	cut   bool             // guarded by mu: some are forgotten
	began time.Time        // nothing is remembered of before

	attempts attempts
}

// New is a book that remembers nothing.
func New(from Source) *Book {
	return &Book{from: from, now: time.Now, known: happening.Known{Now: time.Now}, began: time.Now()}
}

// Record notes what happens to containers until ctx ends.
func (b *Book) Record(ctx context.Context) {
	initial := true
	b.from.Watch(ctx, "", func(c planner.Container, removed bool) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.add(b.known.Apply(c, initial, removed)...)
	}, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		initial = false
		b.add(b.known.Synced()...)
	})
}

// Job notes what happened to a job.
func (b *Book) Job(j Job) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.add(j.Line())
}

// add notes events; the caller holds mu.
func (b *Book) add(lines ...happening.Line) {
	b.lines = append(b.lines, lines...)
	if over := len(b.lines) - most; over > 0 {
		b.lines, b.cut = append([]happening.Line(nil), b.lines[over:]...), true
	}
}

// Past gives what is remembered of a project since a time; cut says that there may have
// been more. It has all that has come of the states that containers have by now.
func (b *Book) Past(project string, since time.Time) (lines []happening.Line, cut bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.from.Containers(project) { // under the lock: what was removed before is not among them
		b.add(b.known.Apply(c, false, false)...)
	}
	for i := range b.lines {
		if l := &b.lines[i]; l.Project() == project && !l.Time.Before(since) {
			lines = append(lines, *l)
		}
	}
	isBefore := since.Before(b.began) && since.After(time.Unix(0, 0)) // of no time in particular, all is told
	return lines, isBefore || b.cut && (len(b.lines) == 0 || b.lines[0].Time.After(since))
}

// Job is something that happened to a scheduled job.
type Job struct {
	Project, Name, Action string
	At, Fire              time.Time
	Container             string // of a run that has ended
	ExitCode              int
	Text                  string // why
}

// Line is the event of it.
func (j Job) Line() happening.Line {
	attributes := map[string]string{"project": j.Project, "fire": j.Fire.UTC().Format(time.RFC3339)}
	if j.Container != "" {
		attributes["name"], attributes["exitCode"] = j.Container, strconv.Itoa(j.ExitCode)
	}
	if j.Text != "" {
		attributes["reason"] = j.Text
	}
	return happening.Line{Time: j.At.UTC(), Type: "job", Action: j.Action, ID: j.Name, Service: j.Name, Attributes: attributes}
}
