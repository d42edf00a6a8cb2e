package planner_test

import (
	"testing"

	. "github.com/orlop/orlop/planner"
)

// What a run needs is needed, though no step of the plan needs it.
func TestARunNeedsItsDependencies(t *testing.T) {
	const text = `
services:
  db: {image: db, healthcheck: {test: "true"}}
  cache: {image: cache, healthcheck: {test: "true"}}
  job:
    image: job
    depends_on:
      db: {condition: service_healthy}
      cache: {condition: service_healthy, required: false}
`
	p := load(t, text)
	w := newWorld()
	up, err := Converge(p, &w.observed, Options{Services: []string{"db", "cache"}})
	if err != nil {
		t.Fatal(err)
	}
	w.apply(t, up)
	for i := range w.observed.Containers {
		w.observed.Containers[i].Health = Unhealthy
	}
	for name, observed := range map[string]*Observed{"with both to be made": &newWorld().observed, "with both unhealthy": &w.observed} {
		plan, err := Converge(p, observed, Options{Services: []string{"job"}, Prepare: "job"})
		if err != nil {
			t.Fatal(err)
		}
		if s := plan.Step("await db healthy"); s == nil || s.Optional {
			t.Errorf("%s: the plan for a run does not need db:\n%s", name, plan.Text())
		}
		if s := plan.Step("await cache healthy"); s == nil || !s.Optional {
			t.Errorf("%s: the plan for a run needs cache, which is not required:\n%s", name, plan.Text())
		}
	}
}

// TestAPreparedRunLeavesTheReplicas: the run is one container, and the service goes on with all of
// its own.
func TestAPreparedRunLeavesTheReplicas(t *testing.T) {
	w := newWorld()
	w.observed.Images["app:1"] = Image{Digest: "sha256:one"}
	all := load(t, "services: {web: {image: app:1, scale: 3}}")
	first, err := Converge(all, &w.observed, Options{})
	if err != nil {
		t.Fatal(err)
	}
	w.apply(t, first)
	one := 1
	all.Services["web"].Scale = &one // as the command has it
	plan, err := Converge(all, &w.observed, Options{Services: []string{"web"}, Prepare: "web"})
	if err != nil || !plan.IsEmpty() {
		t.Errorf("%v\n%s", err, plan.Text())
	}
}
