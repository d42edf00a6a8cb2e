package history

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/orlop/orlop/planner"
)

// mostAttempts is how many failures are remembered of a project, and of how many projects; the newest.
const mostAttempts = 256

// steady is how long a container without a health check runs before its start counts as good.
const steady = 10 * time.Second

// attempts are the steps about services that failed the last time that they were tried. The zero value knows none.
type attempts struct {
	mu     sync.Mutex
	failed map[string]map[string]planner.Event // guarded by mu: project -> action and resource -> its failure
}

// Attempted notes how a step about a service has ended: a failure is remembered until the step succeeds, or what it is about is removed.
func (b *Book) Attempted(project string, e planner.Event) {
	if e.Service == "" || e.Kind != planner.Failed && e.Kind != planner.Done && e.Kind != planner.Unchanged {
		return
	}
	a, key := &b.attempts, keyOf(e)
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case e.Kind == planner.Failed:
		a.remember(project, key, e)
	case e.Action == planner.Remove && e.Kind == planner.Done:
		a.forget(project, func(_ string, f *planner.Event) bool {
			return f.Resource == e.Resource || f.Service == e.Service && f.Action == planner.Await
		})
	default:
		a.forget(project, func(of string, _ *planner.Event) bool { return of == key })
	}
}

// remember notes a failure in the place of the oldest one if there are too many; the caller holds mu.
func (a *attempts) remember(project, key string, e planner.Event) {
	if a.failed == nil {
		a.failed = map[string]map[string]planner.Event{}
	}
	of := a.failed[project]
	if of == nil {
		if len(a.failed) >= mostAttempts {
			delete(a.failed, oldest(a.failed, newestOf))
		}
		of = map[string]planner.Event{}
		a.failed[project] = of
	}
	if _, known := of[key]; !known && len(of) >= mostAttempts {
		delete(of, oldest(of, func(f planner.Event) time.Time { return f.Time }))
	}
	of[key] = planner.Event{Time: e.Time, Action: e.Action, Resource: e.Resource, Service: e.Service, Kind: e.Kind, Text: e.Text, Lines: slices.Clone(e.Lines)}
}

// forget forgets failures of a project that are over; the caller holds mu.
func (a *attempts) forget(project string, isOver func(key string, f *planner.Event) bool) {
	of := a.failed[project]
	maps.DeleteFunc(of, func(key string, f planner.Event) bool { return isOver(key, &f) })
	if len(of) == 0 {
		delete(a.failed, project)
	}
}

// newestOf is when the last of some failures was.
func newestOf(of map[string]planner.Event) (at time.Time) {
	for _, f := range of {
		if f.Time.After(at) {
			at = f.Time
		}
	}
	return at
}

// oldest is the key of what is older than all others.
func oldest[V any](of map[string]V, when func(V) time.Time) (key string) {
	var least time.Time
	for k, v := range of {
		if at := when(v); key == "" || at.Before(least) {
			key, least = k, at
		}
	}
	return key
}

// Forget forgets the failures of a project of which nothing is left.
func (b *Book) Forget(project string) {
	b.attempts.mu.Lock()
	defer b.attempts.mu.Unlock()
	delete(b.attempts.failed, project)
}

// keyOf tells attempts apart: what brings a container up, whether it makes, replaces or starts it, is one.
func keyOf(e planner.Event) string {
	switch e.Action {
	case planner.Build, planner.Pull, planner.Push, planner.Remove, planner.Stop, planner.Kill, planner.Await:
		return string(e.Action) + " " + e.Resource
	}
	return "up " + e.Resource
}

// Failed are the steps about a project's services that failed when they were tried last, by what they are about. What came right by itself
// is none of them.
func (b *Book) Failed(project string) []planner.Event {
	there := b.from.Containers(project)
	a, now := &b.attempts, b.now()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forget(project, func(_ string, f *planner.Event) bool { return isMended(f, there, now) })
	return slices.SortedFunc(maps.Values(a.failed[project]), func(x, y planner.Event) int { return strings.Compare(keyOf(x), keyOf(y)) })
}

// isMended says that what a step was to bring about has come about since it failed: all containers that it is about are well. What one was
// to be replaced by is not there because the old one is well.
func isMended(f *planner.Event, there []planner.Container, now time.Time) bool {
	some := false
	for i := range there {
		c := &there[i]
		if c.OneOff || c.Service != f.Service {
			continue
		}
		switch f.Action {
		case planner.Await:
		case planner.Create, planner.Start, planner.Restart:
			if c.Service+"/"+strconv.Itoa(c.Number) != f.Resource {
				continue
			}
		default:
			return false
		}
		if !isWell(c, f, now) {
			return false
		}
		some = true
	}
	return some
}

// isWell says that a container is healthy, has gone on for a while, or has ended well since a step about it failed.
func isWell(c *planner.Container, f *planner.Event, now time.Time) bool {
	switch {
	case c.State == planner.Exited:
		return c.ExitCode == 0 && !c.Stopped && c.ExitedAt.After(f.Time)
	case c.State != planner.Running:
		return false
	case c.Health == planner.NoHealth:
		return now.Sub(c.StartedAt) >= steady && c.StartedAt.After(f.Time)
	}
	return c.Health == planner.Healthy && (f.Action == planner.Await || c.StartedAt.After(f.Time))
}
