package history

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/orlop/orlop/planner"
)

func TestTheLastAttemptIsRememberedUntilItSucceeds(t *testing.T) {
	b := New(&stage{})
	event := func(action planner.Action, resource string, kind planner.Outcome, second int) planner.Event {
		return planner.Event{Time: at(second), Action: action, Resource: resource, Service: "web", Kind: kind, Text: fmt.Sprint("try ", second)}
	}
	for _, e := range []planner.Event{
		event(planner.Create, "web/1", planner.Failed, 1), event(planner.Create, "web/1", planner.Failed, 2), event(planner.Create, "web/1", planner.Started, 3),
		event(planner.Build, "web", planner.Failed, 4), {Time: at(5), Kind: planner.Failed, Resource: "a network"},
	} {
		b.Attempted("shop", e)
	}
	failed := b.Failed("shop")
	if len(failed) != 2 || failed[0].Text != "try 4" || failed[1].Text != "try 2" {
		t.Fatalf("failed are %+v", failed)
	}
	if others := b.Failed("other"); len(others) != 0 {
		t.Errorf("of another project there are %+v", others)
	}
	b.Attempted("shop", event(planner.Replace, "web/1", planner.Done, 6))
	b.Attempted("shop", event(planner.Build, "web", planner.Unchanged, 7))
	if failed := b.Failed("shop"); len(failed) != 0 {
		t.Errorf("after they succeeded there are %+v", failed)
	}
	for i := range 2 * mostAttempts {
		b.Attempted("shop", event(planner.Create, fmt.Sprint("web/", i), planner.Failed, i))
	}
	b.Attempted("shop", event(planner.Create, "web/0", planner.Failed, 1000))
	failed = b.Failed("shop")
	if len(failed) != mostAttempts || failed[0].Text != "try 1000" || slices.ContainsFunc(failed, func(f planner.Event) bool { return f.Resource == "web/1" }) {
		t.Errorf("%d are kept, the first is %+v", len(failed), failed[0])
	}
	for i := range mostAttempts {
		b.Attempted(fmt.Sprint("other", i), event(planner.Create, "web/1", planner.Failed, 2000+i))
	}
	if first, last := b.Failed("shop"), b.Failed(fmt.Sprint("other", mostAttempts-1)); len(first) != 0 || len(last) != 1 {
		t.Errorf("%d are kept of the oldest project, %d of the newest", len(first), len(last))
	}
}

func TestFailuresOfWhatIsRemovedAreForgotten(t *testing.T) {
	b := New(&stage{})
	fail := func() {
		for _, e := range []planner.Event{
			{Action: planner.Create, Resource: "web/1"}, {Action: planner.Stop, Resource: "web/1"}, {Action: planner.Await, Resource: "web healthy"}, {Action: planner.Build, Resource: "web"},
		} {
			e.Time, e.Service, e.Kind = at(1), "web", planner.Failed
			b.Attempted("shop", e)
		}
	}
	fail()
	b.Attempted("shop", planner.Event{Action: planner.Remove, Resource: "web/1", Service: "web", Kind: planner.Done})
	if failed := b.Failed("shop"); len(failed) != 1 || failed[0].Action != planner.Build {
		t.Errorf("after the container was removed there are %+v", failed)
	}
	fail()
	b.Forget("shop")
	if failed := b.Failed("shop"); len(failed) != 0 {
		t.Errorf("after the project went there are %+v", failed)
	}
}

func TestAFailureEndsOnceAllIsWell(t *testing.T) {
	health := func(state planner.Health, started int) planner.Container {
		c := running("a", "shop", started)
		c.Number, c.Health = 1, state
		return c
	}
	over := health(planner.NoHealth, 20)
	over.State, over.ExitedAt = planner.Exited, at(30)
	bad, stopped, second := over, over, health(planner.Unhealthy, 20)
	bad.ExitCode, stopped.Stopped, second.Number = 1, true, 2
	for _, test := range []struct {
		name     string
		action   planner.Action
		resource string
		there    []planner.Container
		isOver   bool
	}{
		{"a wait whose container is healthy by now", planner.Await, "web healthy", []planner.Container{health(planner.Healthy, 1)}, true},
		{"a wait whose container is not", planner.Await, "web healthy", []planner.Container{health(planner.Unhealthy, 1)}, false},
		{"a wait of which one container is not", planner.Await, "web healthy", []planner.Container{health(planner.Healthy, 1), second}, false},
		{"a wait without containers", planner.Await, "web healthy", nil, false},
		{"a wait whose container has ended well since", planner.Await, "web completed", []planner.Container{over}, true},
		{"a wait whose container has ended badly", planner.Await, "web completed", []planner.Container{bad}, false},
		{"a wait whose container was stopped", planner.Await, "web completed", []planner.Container{stopped}, false},
		{"a wait for the end of what runs", planner.Await, "web completed", []planner.Container{health(planner.NoHealth, 1)}, false},
		{"a start whose container was restarted and is healthy", planner.Create, "web/1", []planner.Container{health(planner.Healthy, 20)}, true},
		{"a start of another container", planner.Create, "web/2", []planner.Container{health(planner.Healthy, 20), second}, false},
		{"a start whose container goes on since", planner.Start, "web/1", []planner.Container{health(planner.NoHealth, 20)}, true},
		{"a start whose container has just been restarted", planner.Start, "web/1", []planner.Container{health(planner.NoHealth, 55)}, false},
		{"a start whose container is still the one that failed", planner.Restart, "web/1", []planner.Container{health(planner.Healthy, 5)}, false},
		{"a replacement whose old container is well", planner.Replace, "web/1", []planner.Container{health(planner.Healthy, 20)}, false},
		{"a build", planner.Build, "web", []planner.Container{health(planner.Healthy, 20)}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := New(&stage{now: test.there})
			b.now = func() time.Time { return at(60) }
			b.Attempted("shop", planner.Event{Time: at(10), Action: test.action, Resource: test.resource, Service: "web", Kind: planner.Failed})
			if failed := b.Failed("shop"); len(failed) == 0 != test.isOver {
				t.Errorf("it is over: %t", len(failed) == 0)
			}
		})
	}
}
