package planner_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orlop/orlop/planner/walk"

	. "github.com/orlop/orlop/planner"
)

const rollingBack = `
services:
  web:
    image: app:1
    environment: {V: "VALUE"}
    scale: 3
    deploy:
      update_config: {parallelism: 1, failure_action: rollback}
      rollback_config: {parallelism: 2, delay: 1s, order: start-first}
  front:
    image: app:1
    environment: {V: "VALUE"}
    depends_on: [web]
`

// updating is a plan of an update of web from one value of a variable to another, and what is there
// before it.
func updating(t *testing.T, kept ...string) (*Plan, *world) {
	t.Helper()
	w := newWorld()
	w.observed.Images["app:1"] = Image{Digest: "sha256:one"}
	first, err := Converge(load(t, strings.ReplaceAll(rollingBack, "VALUE", "1")), &w.observed, Options{})
	if err != nil {
		t.Fatal(err)
	}
	w.apply(t, first)
	w.observed.Kept = map[string]bool{}
	for _, digest := range kept {
		w.observed.Kept[digest] = true
	}
	second, err := Converge(load(t, strings.ReplaceAll(rollingBack, "VALUE", "2")), &w.observed, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return second, w
}

// shaky is an executor whose steps fail as they are told to, and which notes those that were
// carried out.
type shaky struct {
	mu    sync.Mutex
	fails []string
	done  []string // guarded by mu
	steps []*Step  // guarded by mu: those of Rollback
	// watched are the containers that each await looks at. Guarded by mu.
	watched map[string][]int
}

func (s *shaky) Execute(_ context.Context, step *Step, _ func(Event)) (Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Contains(s.fails, step.ID) {
		return Result{}, errors.New("no")
	}
	s.done = append(s.done, step.ID)
	if step.Batch != nil && s.watched != nil {
		s.watched[step.ID] = step.Batch.Numbers
	}
	if step.Action == Rollback {
		s.steps = append(s.steps, step)
	}
	return Result{}, nil
}

func TestAnUpdateThatFailsIsTakenBack(t *testing.T) {
	const to = "app:1 (sha256:one)"
	for name, test := range map[string]struct {
		fails []string
		back  []string // rollbacks that are carried out
		front bool     // that depends on it is updated
		err   string
	}{
		"all is well": {nil, nil, true, ""},
		"the second turns bad while it is watched": {
			[]string{"await web 2 of 3 replaced"}, []string{"rollback web/1", "rollback web/2"}, false, "web 2 of 3: no\nweb: rolled back to " + to,
		},
		"the second can't be replaced": {
			[]string{"replace web/2"}, []string{"rollback web/1"}, false, "web/2: no\nweb: rolled back to " + to,
		},
		"the first can't be replaced": {[]string{"replace web/1"}, nil, false, "web/1: no"},
		"the last turns bad": {
			[]string{"await web 3 of 3 replaced"}, []string{"rollback web/1", "rollback web/2", "rollback web/3"}, false,
			"web 3 of 3: no\nweb: rolled back to " + to,
		},
		"the rollback fails, too, and is paused": {
			[]string{"await web 3 of 3 replaced", "rollback web/2"}, []string{"rollback web/1"}, false,
			"web 3 of 3: no\nweb/2: no\nweb: not wholly rolled back to " + to + ": 1 of 3 are",
		},
	} {
		t.Run(name, func(t *testing.T) {
			plan, _ := updating(t, "sha256:one")
			s := &shaky{fails: test.fails}
			begun := time.Now()
			var mu sync.Mutex
			var events []Event // guarded by mu
			err := walk.Plan(t.Context(), plan, s, 4, func() time.Time { return begun }, func(e Event) {
				mu.Lock()
				defer mu.Unlock()
				events = append(events, e)
			})
			if text := ""; err != nil && err.Error() != test.err || err == nil && text != test.err {
				t.Errorf("the error is\n%v\nwant\n%s", err, test.err)
			}
			var back []string
			for _, step := range s.steps {
				back = append(back, step.ID)
				if !step.Applied.RolledBack.Equal(begun) || !step.Overlap || *step.Applied.Service.Environment["V"] != "1" {
					t.Errorf("%s leads to %+v", step.ID, step.Applied)
				}
			}
			slices.Sort(back)
			if !slices.Equal(back, test.back) {
				t.Errorf("%v were carried out, want %v", back, test.back)
			}
			if got := slices.Contains(s.done, "replace front/1"); got != test.front {
				t.Errorf("front: %v", got)
			}
			ended := map[string]int{}
			for _, e := range events {
				if e.Kind != Started && e.Kind != Progressed {
					ended[e.Step]++
				}
			}
			for _, step := range plan.Steps {
				if ended[step.ID] != 1 {
					t.Errorf("%s ends %d times", step.ID, ended[step.ID])
				}
			}
		})
	}
}

func TestARollbackIsSeenInThePlan(t *testing.T) {
	plan, _ := updating(t, "sha256:one")
	text := plan.Text()
	if !strings.Contains(text, "· web          goes back to app:1 (sha256:one) if one of 3 fails   (stack.yaml:8)\n") || strings.Contains(text, "rolled back") {
		t.Error(text)
	}
	if want := []string{"sha256:one"}; !slices.Equal(plan.Kept(), want) {
		t.Errorf("%v is kept, want %v", plan.Kept(), want)
	}
	var ids []string
	for _, step := range plan.Steps {
		if step.Service == "web" {
			ids = append(ids, step.ID)
		}
	}
	want := []string{
		"replace web/1", "await web 1 of 3 replaced", "replace web/2", "await web 2 of 3 replaced", "replace web/3", "await web 3 of 3 replaced",
		"rollback web/1", "rollback web/2", "await web 2 of 3 rolled back", "rollback web/3", "await web 3 of 3 rolled back",
	}
	if !slices.Equal(ids, want) {
		t.Errorf("the steps are %q", ids)
	}
}

// TestNoRollbackIsBegunThatCouldFailHalfWay: it pauses where what to go back to is not there.
func TestNoRollbackIsBegunThatCouldFailHalfWay(t *testing.T) {
	plan, _ := updating(t)
	if len(plan.Warnings) != 1 || !strings.Contains(plan.Warnings[0], "an update of web that fails is paused, not rolled back: the image that web/1 was made of is not here any more") {
		t.Errorf("%q", plan.Warnings)
	}
	for _, step := range plan.Steps {
		if step.Action == Rollback || step.Batch != nil && step.Batch.Returns {
			t.Error(step.ID)
		}
	}
}

// TestTheNextPlanTellsOfARollback and tries again; one that succeeds ends that.
func TestTheNextPlanTellsOfARollback(t *testing.T) {
	_, w := updating(t)
	for i := range w.observed.Containers {
		if k := &w.observed.Containers[i]; k.Service == "web" {
			applied := *k.Applied
			applied.RolledBack = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			k.Applied = &applied
		}
	}
	again := load(t, strings.ReplaceAll(rollingBack, "VALUE", "2"))
	plan, err := Converge(again, &w.observed, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if text := plan.Text(); strings.Count(text, "its last update was rolled back at 2026-01-02 03:04 UTC   (stack.yaml:8)") != 3 {
		t.Error(text)
	}
	same, err := Converge(load(t, strings.ReplaceAll(rollingBack, "VALUE", "1")), &w.observed, Options{})
	if err != nil || !same.IsEmpty() {
		t.Errorf("%v\n%s", err, same.Text())
	}
}

// TestAReplicaThatCameWithAnUpdateGoesWithIt.
func TestAReplicaThatCameWithAnUpdateGoesWithIt(t *testing.T) {
	_, w := updating(t)
	w.observed.Kept = map[string]bool{"sha256:one": true}
	more := strings.ReplaceAll(strings.ReplaceAll(rollingBack, "VALUE", "2"), "scale: 3", "scale: 4")
	plan, err := Converge(load(t, more), &w.observed, Options{})
	if err != nil {
		t.Fatal(err)
	}
	step := plan.Step("rollback web/4")
	if step == nil || step.Undoes != "create web/4" {
		t.Fatalf("%+v", step)
	}
	there := func(string) []Container {
		return []Container{{ID: "old", Service: "web", Number: 3}, {ID: "new", Service: "web", Number: 4}, {ID: "run", Service: "web", Number: 4, OneOff: true}}
	}
	if done := step.Of("shop", there); done.Action != Remove || done.Container != "new" {
		t.Errorf("%+v", done)
	}
	if done := plan.Step("rollback web/3").Of("shop", there); done.Action != Replace || done.Container != "old" || done.Applied == nil {
		t.Errorf("%+v", done)
	}
}

// TestAnUpThatWaitsWaitsForTheLastBatch too, which no step of an update need watch.
func TestAnUpThatWaitsWaitsForTheLastBatch(t *testing.T) {
	_, w := updating(t)
	again := load(t, strings.ReplaceAll(strings.ReplaceAll(rollingBack, "VALUE", "2"), "rollback}", "pause}"))
	plan, err := Converge(again, &w.observed, Options{Wait: true})
	if err != nil {
		t.Fatal(err)
	}
	step := plan.Step("await web ready")
	if step == nil || step.Optional || !slices.Contains(step.Needs, "replace web/3") {
		t.Errorf("%+v\n%s", step, plan.Text())
	}
}

// TestOnlyWhatWasReplacedIsWatched: what stayed as it was says nothing about an update, or its rollback.
func TestOnlyWhatWasReplacedIsWatched(t *testing.T) {
	plan, _ := updating(t, "sha256:one")
	s := &shaky{fails: []string{"replace web/2"}, watched: map[string][]int{}}
	_ = walk.Plan(t.Context(), plan, s, 4, time.Now, func(Event) {})
	if got := s.watched["await web 2 of 3 rolled back"]; !slices.Equal(got, []int{1}) {
		t.Errorf("%v", got)
	}
	if got := s.watched["await web 1 of 3 replaced"]; !slices.Equal(got, []int{1}) {
		t.Errorf("%v", got)
	}
}
