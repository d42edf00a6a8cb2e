package history

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/orlop/orlop/planner"
)

// mostAttempts is how many failures are remembered of a project, and of how many projects.
const mostAttempts = 256

// attempts are the steps about services that failed the last time that they were tried. The zero value knows none.
type attempts struct {
	mu     sync.Mutex
	failed map[string]map[string]planner.Event // guarded by mu: project -> action and resource -> its failure
}

// Attempted notes how a step about a service has ended: a failure is remembered until the step succeeds.
func (b *Book) Attempted(project string, e planner.Event) {
	if e.Service == "" || e.Kind != planner.Failed && e.Kind != planner.Done && e.Kind != planner.Unchanged {
		return
	}
	a, key := &b.attempts, keyOf(e)
	a.mu.Lock()
	defer a.mu.Unlock()
	if e.Kind != planner.Failed {
		delete(a.failed[project], key)
		if len(a.failed[project]) == 0 {
			delete(a.failed, project)
		}
		return
	}
	if a.failed == nil {
		a.failed = map[string]map[string]planner.Event{}
	}
	of := a.failed[project]
	switch {
	case of == nil && len(a.failed) >= mostAttempts, len(of) >= mostAttempts && of[key].Time.IsZero():
		return
	case of == nil:
		of = map[string]planner.Event{}
		a.failed[project] = of
	}
	of[key] = planner.Event{Time: e.Time, Action: e.Action, Resource: e.Resource, Service: e.Service, Kind: e.Kind, Text: e.Text, Lines: slices.Clone(e.Lines)}
}

// keyOf tells attempts apart: what brings a container up, whether it makes, replaces or starts it, is one.
func keyOf(e planner.Event) string {
	switch e.Action {
	case planner.Build, planner.Pull, planner.Push, planner.Remove, planner.Stop, planner.Kill, planner.Await:
		return string(e.Action) + " " + e.Resource
	}
	return "up " + e.Resource
}

// Failed are the steps about a project's services that failed when they were tried last, by what they are about.
func (b *Book) Failed(project string) []planner.Event {
	b.attempts.mu.Lock()
	defer b.attempts.mu.Unlock()
	return slices.SortedFunc(maps.Values(b.attempts.failed[project]), func(x, y planner.Event) int { return strings.Compare(keyOf(x), keyOf(y)) })
}
