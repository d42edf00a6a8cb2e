package planner_test

import (
	"testing"
	"time"

	. "github.com/orlop/orlop/planner"

	"github.com/orlop/orlop/spec"
)

// TestPullsWaitForNoBuild: what a stack pulls comes while its images are built.
func TestPullsWaitForNoBuild(t *testing.T) {
	project := &spec.Project{Name: "p", Services: map[string]*spec.Service{
		"a": {Name: "a", Image: "redis:7"}, "b": {Name: "b", Build: &spec.Build{Context: "/b"}},
	}}
	plan, err := Converge(project, &Observed{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range plan.Steps {
		if (s.Action == Pull || s.Action == Build) && len(s.Needs)+len(s.After) > 0 {
			t.Errorf("%s waits for %v %v", s.ID, s.Needs, s.After)
		}
	}
	if plan.Count(Pull) != 1 || plan.Count(Build) != 1 {
		t.Errorf("it plans %s", plan.Summary())
	}
}

// TestAnImageIsPulledAnewWhenItsPolicySaysSo holds that the time of the last
// pull decides, for an image that is here.
func TestAnImageIsPulledAnewWhenItsPolicySaysSo(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		policy, option string
		age            time.Duration
		want           bool
	}{
		{"daily", "", 23 * time.Hour, false},
		{"daily", "", 24 * time.Hour, true},
		{"weekly", "", 6 * 24 * time.Hour, false},
		{"weekly", "", 8 * 24 * time.Hour, true},
		{"every_2d", "", 47 * time.Hour, false},
		{"every_2d", "", 49 * time.Hour, true},
		{"every_30m", "", time.Hour, true},
		{"refresh", "", time.Second, true},
		{"daily", "missing", 48 * time.Hour, false},
		{"missing", "", 1000 * time.Hour, false},
	} {
		project := &spec.Project{Name: "p", Services: map[string]*spec.Service{"a": {Name: "a", Image: "redis:7", PullPolicy: test.policy}}}
		observed := &Observed{At: now, Images: map[string]Image{"redis:7": {Digest: "sha256:1", Named: now.Add(-test.age)}}}
		plan, err := Converge(project, observed, Options{Pull: test.option})
		if err != nil {
			t.Fatal(err)
		}
		pulls := 0
		for _, s := range plan.Steps {
			if s.Action == Pull {
				pulls++
			}
		}
		if (pulls == 1) != test.want || pulls > 1 {
			t.Errorf("%s (option %q) after %s: %d pulls, want one: %v", test.policy, test.option, test.age, pulls, test.want)
		}
	}
}

// TestAPullLeavesWhatIsHereWhereMissingImagesAreAskedForAlone, by the file or by the flag.
func TestAPullLeavesWhatIsHereWhereMissingImagesAreAskedForAlone(t *testing.T) {
	for _, test := range []struct {
		image, policy, option string
		isHere, want          bool
	}{
		{"redis:7", "", "", true, true}, {"redis:7", "daily", "", true, true}, {"redis:7", "missing", "", true, false},
		{"redis:7", "if_not_present", "", true, false}, {"redis:7", "missing", "", false, true}, {"redis:7", "", "missing", true, false},
		{"redis:7", "always", "missing", true, false}, {"redis:7", "missing", "always", true, true}, {"redis:7", "never", "", true, false},
		// The tag latest is meant to move.
		{"redis", "missing", "", true, true}, {"redis:latest", "", "missing", true, true}, {"host:5000/redis", "missing", "", true, true},
		{"host:5000/redis:1", "missing", "", true, false}, {"redis@sha256:1", "missing", "", true, false}, {"redis:latest@sha256:1", "missing", "", true, false},
		{"redis", "never", "", true, false},
	} {
		project := &spec.Project{Name: "p", Services: map[string]*spec.Service{"a": {Name: "a", Image: test.image, PullPolicy: test.policy}}}
		observed := &Observed{Images: map[string]Image{}}
		if test.isHere {
			observed.Images[test.image] = Image{Digest: "sha256:1"}
		}
		plan, err := Converge(project, observed, Options{PullOnly: true, Pull: test.option})
		if err != nil {
			t.Fatal(err)
		}
		if got := plan.Count(Pull) == 1; got != test.want {
			t.Errorf("%s, %q (option %q), here %t: pulled %t", test.image, test.policy, test.option, test.isHere, got)
		}
	}
}
