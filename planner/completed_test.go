package planner_test

import (
	"testing"

	. "github.com/orlop/orlop/planner"
)

// TestWhoIsToRunOnIsStartedAgain, though its policy lets it end with code 0; what has done
// its work is left alone.
func TestWhoIsToRunOnIsStartedAgain(t *testing.T) {
	const text = `
services:
  checked: {image: a, healthcheck: {test: "true"}}
  awaited: {image: a}
  migration: {image: a, healthcheck: {test: "true"}}
  plain: {image: a}
  web:
    image: a
    depends_on:
      awaited: {condition: service_healthy}
      migration: {condition: service_completed_successfully}
`
	p := load(t, text)
	w := newWorld()
	up, err := Converge(p, &w.observed, Options{})
	if err != nil {
		t.Fatal(err)
	}
	w.apply(t, up)
	for i := range w.observed.Containers {
		if k := &w.observed.Containers[i]; k.Service != "web" {
			k.State, k.ExitCode, k.Health = Exited, 0, NoHealth
		}
	}
	plan, err := Converge(p, &w.observed, Options{})
	if err != nil {
		t.Fatal(err)
	}
	started := map[string]bool{}
	for _, s := range plan.Steps {
		started[s.Service] = started[s.Service] || s.Action == Start
	}
	for service, want := range map[string]bool{"checked": true, "awaited": true, "migration": false, "plain": false} {
		if started[service] != want {
			t.Errorf("%s is started: %t, want %t\n%s", service, started[service], want, plan.Text())
		}
	}
}
