package history

import (
	"fmt"
	"testing"

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
	if failed := b.Failed("shop"); len(failed) != mostAttempts || failed[0].Text != "try 1000" {
		t.Errorf("%d are kept, the first is %+v", len(failed), failed[0])
	}
}
