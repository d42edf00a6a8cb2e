package planner_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/orlop/orlop/planner/walk"

	. "github.com/orlop/orlop/planner"
)

// failing is an executor that lets some steps fail.
type failing struct {
	mu    sync.Mutex
	fails []string
	saw   map[string]int // guarded by mu: failures that each await was told of
}

func (f *failing) Execute(_ context.Context, s *Step, _ func(Event)) (Result, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.Batch != nil {
		f.saw[s.ID] = s.Batch.Failed
	}
	if slices.Contains(f.fails, s.ID) {
		return Result{}, errors.New("no")
	}
	return Result{}, nil
}

// TestAnUpdateGoesOnAsFarAsItMay walks an update of three containers one by one.
func TestAnUpdateGoesOnAsFarAsItMay(t *testing.T) {
	for name, test := range map[string]struct {
		batch   Batch
		fails   []string
		skipped []string
		saw     map[string]int
		err     string
	}{
		"all is well":    {Batch{}, nil, nil, map[string]int{"m1": 0, "m2": 0}, ""},
		"one fails":      {Batch{}, []string{"r1"}, []string{"m1", "r2", "m2", "r3"}, map[string]int{}, "web/r1: no"},
		"one may":        {Batch{Ratio: 0.4}, []string{"r1"}, nil, map[string]int{"m1": 1, "m2": 1}, "web/r1: no"},
		"two may not":    {Batch{Ratio: 0.4}, []string{"r1", "r2"}, []string{"m2", "r3"}, map[string]int{"m1": 1}, "web/r1: no\nweb/r2: no"},
		"all may":        {Batch{Goes: true}, []string{"r1", "r2"}, nil, map[string]int{"m1": 1, "m2": 2}, "web/r1: no\nweb/r2: no"},
		"the watch says": {Batch{}, []string{"m1"}, []string{"r2", "m2", "r3"}, map[string]int{"m1": 0}, "web/m1: no"},
	} {
		t.Run(name, func(t *testing.T) {
			p := &Plan{}
			var ids, before []string
			for i, id := range []string{"r1", "r2", "r3"} {
				p.Steps = append(p.Steps, &Step{ID: id, Action: Replace, Resource: "web/" + id, Needs: before})
				ids = append(ids, id)
				if i < 2 {
					b := test.batch
					b.Of = 3
					watch := "m" + id[1:]
					p.Steps = append(p.Steps, &Step{ID: watch, Action: Await, Resource: "web/" + watch, After: slices.Clone(ids), Batch: &b})
					before = []string{watch}
				}
			}
			f := &failing{fails: test.fails, saw: map[string]int{}}
			var skipped []string
			err := walk.Plan(t.Context(), p, f, 4, time.Now, func(e Event) {
				if e.Kind == Skipped {
					skipped = append(skipped, e.Step)
				}
			})
			if text := ""; err != nil && err.Error() != test.err || err == nil && text != test.err {
				t.Errorf("the error is %v, want %q", err, test.err)
			}
			if !slices.Equal(skipped, test.skipped) {
				t.Errorf("skipped are %v, want %v", skipped, test.skipped)
			}
			for id := range test.saw {
				if f.saw[id] != test.saw[id] || len(f.saw) != len(test.saw) {
					t.Errorf("watched are %v, want %v", f.saw, test.saw)
				}
			}
		})
	}
}
