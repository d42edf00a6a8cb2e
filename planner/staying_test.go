package planner

import (
	"fmt"
	"slices"
	"testing"

	"github.com/orlop/orlop/spec"
)

func TestOfTooManyReplicasThoseStayThatNeedNotBeReplaced(t *testing.T) {
	for name, test := range map[string]struct {
		numbers  []int
		outdated []int
		created  []int // never started
		scale    int
		shared   bool
		options  Options
		steps    []string
	}{
		"the later ones are up to date":      {numbers: []int{1, 2, 3, 4}, outdated: []int{1, 2}, scale: 2, steps: []string{"remove web/1", "remove web/2"}},
		"one of them is":                     {numbers: []int{1, 2, 3}, outdated: []int{1, 2}, scale: 2, steps: []string{"remove web/2", "replace web/1"}},
		"all are":                            {numbers: []int{1, 2, 3}, scale: 1, steps: []string{"remove web/2", "remove web/3"}},
		"none is":                            {numbers: []int{1, 2, 3}, outdated: []int{1, 2, 3}, scale: 1, steps: []string{"remove web/2", "remove web/3", "replace web/1"}},
		"all are to be made anew":            {numbers: []int{1, 2, 3}, outdated: []int{1}, scale: 1, options: Options{ForceRecreate: true}, steps: []string{"remove web/2", "remove web/3", "replace web/1"}},
		"others share what the first one is": {numbers: []int{1, 2}, outdated: []int{1}, scale: 1, shared: true, steps: []string{"remove web/2", "replace web/1"}},
		"the later ones were never started":  {numbers: []int{1, 2, 3}, outdated: []int{1}, created: []int{2, 3}, scale: 2, steps: []string{"remove web/3", "replace web/1", "start web/2"}},
		"the first one was never started":    {numbers: []int{1, 3, 4}, created: []int{1}, scale: 2, steps: []string{"remove web/1"}},
		"later numbers only":                 {numbers: []int{3, 4}, scale: 2},
		"one more than those":                {numbers: []int{3, 4}, scale: 3, steps: []string{"create web/1"}},
		"two more than one":                  {numbers: []int{2}, scale: 3, steps: []string{"create web/1", "create web/3"}},
		"none":                               {numbers: []int{1, 2}, scale: 0, steps: []string{"remove web/1", "remove web/2"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := &spec.Project{Name: "p", Services: map[string]*spec.Service{"web": {Name: "web", Image: "busybox", Scale: &test.scale}}}
			if test.shared {
				p.Services["side"] = &spec.Service{Name: "side", Image: "busybox", NetworkMode: "service:web"}
			}
			o := Observed{Images: map[string]Image{"busybox": {Digest: "sha256:1"}}}
			for _, n := range test.numbers {
				want := *Wanted(p, "web", nil)
				if want.Image = "sha256:1"; slices.Contains(test.outdated, n) {
					want.Image = "sha256:0"
				}
				state := Running
				if slices.Contains(test.created, n) {
					state = Created
				}
				o.Containers = append(o.Containers, Container{ID: fmt.Sprint("c", n), Service: "web", Number: n, State: state, Applied: &want})
			}
			test.options.Services = []string{"web"}
			plan, err := Converge(p, &o, test.options)
			if err != nil {
				t.Fatal(err)
			}
			var steps []string
			for _, s := range plan.Steps {
				if s.Service == "web" {
					steps = append(steps, string(s.Action)+" "+s.Resource)
				}
			}
			slices.Sort(steps)
			if !slices.Equal(steps, test.steps) {
				t.Errorf("steps are %q, not %q", steps, test.steps)
			}
		})
	}
}

func TestSurplusReplicasStayWhereTheirImageCantBeMade(t *testing.T) {
	one := 1
	p := &spec.Project{Name: "p", Services: map[string]*spec.Service{"web": {Name: "web", Image: "busybox", Scale: &one}}}
	want := *Wanted(p, "web", nil)
	o := Observed{Containers: []Container{
		{ID: "c1", Service: "web", Number: 1, State: Running, Applied: &want},
		{ID: "c2", Service: "web", Number: 2, State: Running, Applied: &want},
	}}
	plan, err := Converge(p, &o, Options{Services: []string{"web"}})
	if err != nil {
		t.Fatal(err)
	}
	pull, remove := plan.Step("pull busybox"), plan.Step("remove web/2")
	if pull == nil || remove == nil || !slices.Contains(remove.Needs, pull.ID) {
		t.Errorf("the pull is %+v, the removal %+v", pull, remove)
	}
	one = 0
	if plan, err = Converge(p, &o, Options{Services: []string{"web"}}); err != nil {
		t.Fatal(err)
	}
	if remove := plan.Step("remove web/2"); remove == nil || len(remove.Needs) > 0 {
		t.Errorf("what is scaled to none waits: %+v", remove)
	}
}
