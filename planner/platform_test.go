package planner_test

import (
	"strings"
	"testing"

	. "github.com/orlop/orlop/planner"

	"github.com/orlop/orlop/spec"
)

// TestAnImageIsPulledForEachPlatform that is not here, one after the other.
func TestAnImageIsPulledForEachPlatform(t *testing.T) {
	p := &spec.Project{Name: "p", Services: map[string]*spec.Service{
		"a": {Name: "a", Image: "i"}, "b": {Name: "b", Image: "i", Platform: "linux/s390x"}, "c": {Name: "c", Image: "i", Platform: "linux/s390x"},
	}}
	for name, c := range map[string]struct {
		images map[string]Image
		want   string
	}{
		"nothing is here":      {nil, "pull i for  after |pull i (linux/s390x) for linux/s390x after pull i"},
		"that of the machine":  {map[string]Image{"i": {Digest: "d", Lacks: []string{"linux/s390x"}}}, "pull i (linux/s390x) for linux/s390x after "},
		"that of another":      {map[string]Image{"i": {Digest: "d", Lacks: []string{""}}}, "pull i for  after "},
		"all of them are here": {map[string]Image{"i": {Digest: "d"}}, ""},
	} {
		plan, err := Converge(p, &Observed{Images: c.images}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range plan.Steps {
			if s.Action == Pull {
				got = append(got, s.ID+" for "+s.Platform+" after "+strings.Join(s.After, " "))
			}
		}
		if text := strings.Join(got, "|"); text != c.want {
			t.Errorf("%s: %s, want %s", name, text, c.want)
		}
	}
}

// TestWhatTheMachineDoesNotRunIsRefused before anything is begun, but for what only
// pulls or builds.
func TestWhatTheMachineDoesNotRunIsRefused(t *testing.T) {
	p := &spec.Project{Name: "p", Services: map[string]*spec.Service{"a": {Name: "a", Image: "i", Platform: "linux/s390x"}},
		Places: spec.PlacesOf(map[string]spec.Place{"services.a.platform": {File: "stack.yaml", Line: 3, Column: 5}})}
	o := &Observed{Foreign: map[string]string{"a": "linux/s390x"}}
	if _, err := Converge(p, o, Options{}); err == nil || !strings.Contains(err.Error(), "stack.yaml:3:5: services.a.platform: this machine does not run programs of linux/s390x") {
		t.Errorf("%v", err)
	}
	if _, err := Converge(p, o, Options{PullOnly: true}); err != nil {
		t.Error(err)
	}
}

func TestWhichPlatformAServiceRunsOn(t *testing.T) {
	const machine = "linux/arm64"
	for name, c := range map[string]struct {
		service spec.Service
		want    string
	}{
		"none":                    {spec.Service{}, ""},
		"its own":                 {spec.Service{Platform: "linux/arm64"}, ""},
		"its own, with a variant": {spec.Service{Platform: "linux/arm64/v8"}, ""},
		"another":                 {spec.Service{Platform: "linux/amd64"}, "linux/amd64"},
		"built for several":       {spec.Service{Build: &spec.Build{Platforms: []string{"linux/amd64", "linux/arm64"}}}, ""},
		"built for others":        {spec.Service{Build: &spec.Build{Platforms: []string{"linux/amd64", "linux/s390x"}}}, "linux/amd64"},
		"one of several":          {spec.Service{Platform: "linux/amd64", Build: &spec.Build{Platforms: []string{"linux/amd64", "linux/arm64"}}}, "linux/amd64"},
	} {
		if got := c.service.PlatformOn(machine); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestTagsAreKeptAndGoWithTheImage: a tag that is gone is given again, and one that
// somebody has given to another image since stays.
func TestTagsAreKeptAndGoWithTheImage(t *testing.T) {
	p := &spec.Project{Name: "p", Services: map[string]*spec.Service{"a": {Name: "a", Build: &spec.Build{Tags: []string{"one", "two"}}}}}
	in := map[string]*Inputs{"a": {Sum: "s"}}
	images := map[string]Image{"p-a": {Digest: "d", Inputs: in["a"]}, "one": {Digest: "d"}, "two": {Digest: "d"}, "other": {Digest: "d"}}
	builds := func() (why string) {
		plan, err := Converge(p, &Observed{Images: images}, Options{BuildOnly: true, Inputs: in})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range plan.Steps {
			why += s.Reasons[0].Text
		}
		return why
	}
	if why := builds(); why != "" {
		t.Errorf("with its tags it is built: %s", why)
	}
	delete(images, "one")
	if why := builds(); why != "its tag one is not here" {
		t.Errorf("without a tag: %q", why)
	}
	images["one"] = Image{Digest: "another"}
	var gone []string
	for _, s := range Down("p", p, &Observed{Images: images}, DownOptions{RemoveImages: "local"}).Steps {
		gone = append(gone, s.Name)
	}
	if text := strings.Join(gone, " "); text != "p-a two" {
		t.Errorf("removed are %s", text)
	}
}
