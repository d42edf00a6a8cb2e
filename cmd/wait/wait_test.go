package wait

import (
	"testing"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/planner"
)

// What wait ends with, by what happens to the containers of the services.
func TestWaiting(t *testing.T) {
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	of := func(id string, state planner.State, code int) planner.Container {
		return planner.Container{ID: id, Name: "shop-" + id, Service: id, State: state, ExitCode: code, StartedAt: began}
	}
	running := func(id string) planner.Container { return of(id, planner.Running, 0) }
	again := running("web")
	again.StartedAt, again.ExitCode = began.Add(time.Minute), 3
	created := of("web", planner.Created, 0)
	created.StartedAt = time.Time{}
	for name, c := range map[string]struct {
		first  bool
		there  []planner.Container
		then   []planner.Container
		ends   int // after so many changes; -1: it goes on
		code   int
		told   int
		failed bool
	}{
		"both":                 {there: []planner.Container{running("web"), running("db")}, then: []planner.Container{of("web", planner.Exited, 0), of("db", planner.Exited, 4)}, ends: 2, code: 4, told: 2},
		"the first failure":    {there: []planner.Container{running("web"), running("db")}, then: []planner.Container{of("web", planner.Exited, 2), of("db", planner.Exited, 4)}, ends: 2, code: 2, told: 2},
		"one is enough":        {first: true, there: []planner.Container{running("web"), running("db")}, then: []planner.Container{of("db", planner.Exited, 0)}, ends: 1, told: 1},
		"it had ended":         {there: []planner.Container{of("web", planner.Exited, 7)}, ends: 0, code: 7, told: 1},
		"one had ended":        {there: []planner.Container{of("web", planner.Exited, 7), running("db")}, then: []planner.Container{of("db", planner.Exited, 0)}, ends: 1, told: 1},
		"others do not matter": {there: []planner.Container{running("web"), of("other", planner.Exited, 1)}, then: []planner.Container{of("other", planner.Exited, 1)}, ends: -1},
		"restarted":            {there: []planner.Container{running("web")}, then: []planner.Container{again}, ends: 1, code: 3, told: 1},
		"restarting":           {there: []planner.Container{running("web")}, then: []planner.Container{of("web", planner.Restarting, 5)}, ends: 1, code: 5, told: 1},
		"never started":        {there: []planner.Container{created}, failed: true, ends: -1},
		"one never started":    {there: []planner.Container{created, running("db")}, then: []planner.Container{of("db", planner.Exited, 3)}, ends: 1, code: 3, told: 1},
		"none":                 {failed: true, ends: -1},
	} {
		told := 0
		w := &waiting{services: []string{"web", "db"}, first: c.first, pending: map[string]time.Time{}, last: map[string]planner.Container{}, ended: func(*planner.Container) { told++ }}
		change := func(k planner.Container) (bool, error) {
			m, err := api.NewContainer(k)
			if err != nil {
				t.Fatal(err)
			}
			return w.apply(&api.ContainerChange{Container: m})
		}
		for _, k := range c.there {
			if isOver, err := change(k); isOver || err != nil {
				t.Errorf("%s: it is over before it has begun (%v)", name, err)
			}
		}
		isOver, err := w.apply(&api.ContainerChange{Synced: true})
		ends := -1
		if isOver {
			ends = 0
		}
		for i, k := range c.then {
			if isOver {
				break
			}
			if isOver, err = change(k); isOver {
				ends = i + 1
			}
		}
		if ends != c.ends || w.code != c.code || told != c.told || (err != nil) != c.failed {
			t.Errorf("%s: it ends after %d changes, want %d, with %d, want %d, told of %d, want %d (%v)", name, ends, c.ends, w.code, c.code, told, c.told, err)
		}
	}
}

// A container that is gone when the next engine tells what there is has ended.
func TestWaitingAcrossEngines(t *testing.T) {
	var told []string
	w := &waiting{
		services: []string{"web"}, pending: map[string]time.Time{}, last: map[string]planner.Container{},
		ended: func(c *planner.Container) { told = append(told, c.Name) },
	}
	snapshot := func(ids ...string) bool {
		t.Helper()
		w.there = nil
		for _, id := range ids {
			m, err := api.NewContainer(planner.Container{ID: id, Name: "shop-" + id, Service: "web", State: planner.Running, StartedAt: time.Unix(1, 0)})
			if err != nil {
				t.Fatal(err)
			}
			if isOver, err := w.apply(&api.ContainerChange{Container: m, Initial: true}); isOver || err != nil {
				t.Fatalf("it is over with %s (%v)", id, err)
			}
		}
		isOver, err := w.apply(&api.ContainerChange{Synced: true})
		if err != nil {
			t.Fatal(err)
		}
		return isOver
	}
	if snapshot("a", "b") || snapshot("b", "a") || snapshot("b") {
		t.Error("it is over while one runs")
	}
	if !snapshot() || len(told) != 2 || told[0] != "shop-a" || told[1] != "shop-b" {
		t.Errorf("all are gone, and it goes on; told of are %v", told)
	}
}
