package planner_test

import (
	"slices"
	"strings"
	"testing"

	. "github.com/orlop/orlop/planner"

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

// TestInitContainersHaveTheirOwnImages: what pulls one replaces no container, and is
// planned only where it is run.
func TestInitContainersHaveTheirOwnImages(t *testing.T) {
	project := &spec.Project{Name: "shop", Services: map[string]*spec.Service{"web": {
		Name: "web", Image: "busybox", MemLimit: 64 << 20,
		PreStart: []*spec.Service{{Command: spec.Command{"first"}, Image: "tools", MemLimit: 64 << 20}},
	}}}
	there := Container{ID: "a", Service: "web", Number: 1, State: Running, Applied: Wanted(project, "web", nil)}
	steps := func(web *spec.Service, opts Options, containers ...Container) string {
		t.Helper()
		p := &spec.Project{Name: "shop", Services: map[string]*spec.Service{"web": web}}
		plan, err := Converge(p, &Observed{Images: map[string]Image{"busybox": {Digest: "sha256:1"}}, Containers: containers}, opts)
		if err != nil {
			return err.Error()
		}
		var ids []string
		for _, s := range plan.Steps {
			ids = append(ids, s.ID)
		}
		return strings.Join(ids, ", ")
	}
	web := project.Services["web"]
	with := func(change func(web, init *spec.Service)) *spec.Service {
		made, init := *web, *web.PreStart[0]
		change(&made, &init)
		made.PreStart = []*spec.Service{&init}
		return &made
	}
	for _, test := range []struct {
		name, got, want string
	}{
		{"at first", steps(web, Options{}), "pull tools, init web pre_start 1, create web/1"},
		{"it runs", steps(web, Options{}, there), ""},
		{"pull", steps(web, Options{PullOnly: true}, there), "pull busybox, pull tools"},
		{"it may not be pulled", steps(with(func(_, init *spec.Service) { init.PullPolicy = "never" }), Options{}),
			`image tools for services.web.pre_start[0].image is not here and pull_policy is never: load it with "orlop image load" or allow the pull`},
		// What changes in place does so, though the init container has it too.
		{"a limit", steps(with(func(web, init *spec.Service) { web.MemLimit, init.MemLimit = 128<<20, 128<<20 }), Options{}, there), "update web/1"},
		{"its command", steps(with(func(_, init *spec.Service) { init.Command = spec.Command{"second"} }), Options{}, there), "pull tools, init web pre_start 1, replace web/1"},
	} {
		if test.got != test.want {
			t.Errorf("%s: the plan is %s, want %s", test.name, test.got, test.want)
		}
	}
}

// TestWhatAProviderGivesIsNotShown: it may be a password.
func TestWhatAProviderGivesIsNotShown(t *testing.T) {
	project := func(url string) *spec.Project {
		s := (&spec.Service{Name: "web", Image: "busybox"}).WithVariables(map[string]string{"DB_URL": url})
		return &spec.Project{Name: "shop", Services: map[string]*spec.Service{"web": s}}
	}
	there := Container{ID: "a", Service: "web", Number: 1, State: Running, Applied: Wanted(project("pg://u:old@h"), "web", nil)}
	plan, err := Converge(project("pg://u:new@h"), &Observed{Images: map[string]Image{"busybox": {Digest: "sha256:1"}}, Containers: []Container{there}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if text := plan.Text(); strings.Contains(text, "pg://") || !strings.Contains(text, "services.web.environment.DB_URL: its provider gives another value") {
		t.Errorf("the plan says %s", text)
	}
}
