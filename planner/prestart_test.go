package planner

import (
	"slices"
	"strings"
	"testing"

	"github.com/orlop/orlop/spec"
)

// TestInitContainersRunBeforeTheirService lists what a plan runs before the containers
// of a service, by what there is of it.
func TestInitContainersRunBeforeTheirService(t *testing.T) {
	two := 2
	project := &spec.Project{Name: "shop", Services: map[string]*spec.Service{"web": {
		Name: "web", Image: "busybox", Scale: &two,
		PreStart: []*spec.Service{{Command: spec.Command{"first"}}, {Command: spec.Command{"each"}, PerReplica: true}, {Command: spec.Command{"last"}}},
	}}}
	container := func(n int, state State) Container {
		return Container{ID: string(rune('a' + n)), Service: "web", Number: n, State: state, Stopped: state == Exited, Applied: Wanted(project, "web", nil)}
	}
	all := []string{"init web pre_start 1", "init web/1 pre_start 2", "init web/2 pre_start 2", "init web pre_start 3"}
	for name, test := range map[string]struct {
		there []Container
		opts  Options
		want  []string
	}{
		"nothing is there":    {nil, Options{}, append(slices.Clone(all), "create web/1", "create web/2")},
		"one runs":            {[]Container{container(1, Running)}, Options{}, []string{"init web/2 pre_start 2", "create web/2"}},
		"both run":            {[]Container{container(1, Running), container(2, Running)}, Options{}, nil},
		"both are stopped":    {[]Container{container(1, Exited), container(2, Exited)}, Options{}, append(slices.Clone(all), "start web/1", "start web/2")},
		"both are made anew":  {[]Container{container(1, Running), container(2, Running)}, Options{ForceRecreate: true}, append(slices.Clone(all), "replace web/1", "replace web/2")},
		"nothing is to start": {nil, Options{NoStart: true}, []string{"create web/1", "create web/2"}},
	} {
		t.Run(name, func(t *testing.T) {
			plan, err := Converge(project, &Observed{Images: map[string]Image{"busybox": {Digest: "sha256:1"}}, Containers: test.there}, test.opts)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for i, s := range plan.Steps {
				got = append(got, s.ID)
				for _, id := range s.Needs { // what comes first stands first
					if at := slices.IndexFunc(plan.Steps, func(o *Step) bool { return o.ID == id }); at < 0 || at > i {
						t.Errorf("%s needs %s, which comes after it", s.ID, id)
					}
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("the plan is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
			if last := plan.Step("create web/1"); last != nil && !test.opts.NoStart && !slices.Contains(last.Needs, "init web pre_start 3") {
				t.Errorf("web/1 waits for %q", last.Needs)
			}
		})
	}
}
