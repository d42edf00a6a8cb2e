package cmd_test

import (
	"strings"
	"testing"
	"time"

	"github.com/orlop/orlop/planner"
)

func TestUpWritesATraceThatTraceTellsOf(t *testing.T) {
	d := newDesk(t, shop).serve()
	d.engine.plan = &planner.Plan{Project: "shop", Steps: []*planner.Step{{ID: "build web", Action: planner.Build, Resource: "web", Service: "web"}}}
	event := func(after time.Duration, kind planner.Outcome) planner.Event {
		return planner.Event{Time: then.Add(after), Step: "build web", Action: planner.Build, Resource: "web", Service: "web", Kind: kind}
	}
	d.engine.events = []planner.Event{event(0, planner.Started), event(2*time.Second, planner.Done)}
	if _, stderr, code := d.run("up -d --trace up.json"); code != 0 {
		t.Fatal(stderr)
	}
	stdout, stderr, code := d.run("trace up.json")
	if code != 0 || !strings.HasPrefix(stdout, "up took ") || !strings.Contains(stdout, ": 2.0 s building web\n") {
		t.Errorf("exit code %d, %s%s", code, stdout, stderr)
	}
	if _, stderr, code = d.run("trace stack.yaml"); code != 1 || !strings.Contains(stderr, "stack.yaml is not a trace that orlop has written") {
		t.Errorf("no trace: exit code %d, %s", code, stderr)
	}
	d.env = []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1"}
	if _, stderr, code = d.run("up -d"); code != 0 || !strings.Contains(stderr, " ! cannot send the trace") {
		t.Errorf("without a collector: exit code %d, %s", code, stderr)
	}
}
