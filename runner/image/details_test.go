package image

import (
	"testing"
	"time"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Each step has the layer that it made, as the image specification counts them.
func TestStepsHaveTheirLayers(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	layers := []Layer{{DiffID: "sha256:a"}, {DiffID: "sha256:b"}, {DiffID: "sha256:c"}}
	got := steps([]ocispec.History{
		{CreatedBy: "ADD a", Created: &at}, {CreatedBy: "ENV A=1", EmptyLayer: true}, {CreatedBy: "RUN b", Comment: "buildkit"},
	}, layers)
	if len(got) != 4 || got[0].Layer != &layers[0] || got[1].Layer != nil || got[2].Layer != &layers[1] || got[3].Layer != &layers[2] {
		t.Fatalf("the steps are %+v", got)
	}
	if got[0].By != "ADD a" || !got[0].Created.Equal(at) || !got[1].Created.IsZero() || got[2].Comment != "buildkit" || got[3].By != "" {
		t.Errorf("the steps are %+v", got)
	}
	if more := steps([]ocispec.History{{CreatedBy: "RUN x"}, {CreatedBy: "RUN y"}}, layers[:1]); len(more) != 2 || more[1].Layer != nil {
		t.Errorf("a history that tells of more layers than there are: %+v", more)
	}
}

// Of an index the platform that is asked for must be here; else the machine's own is meant,
// or the first one that is here.
func TestChoose(t *testing.T) {
	own := platforms.DefaultString()
	foreign, other := "linux/s390x", "linux/arm/v6"
	of := func(here map[string]bool, names ...string) (all []Variant) {
		for _, name := range names {
			all = append(all, Variant{Platform: name, IsHere: here[name]})
		}
		return all
	}
	for name, c := range map[string]struct {
		all        []Variant
		want, asks string
	}{
		"the machine's":   {of(map[string]bool{own: true, foreign: true}, foreign, own), own, ""},
		"the only one":    {of(map[string]bool{foreign: true}, own, foreign), foreign, ""},
		"one of them":     {of(map[string]bool{own: true, foreign: true}, own, foreign), foreign, foreign},
		"a variant":       {of(map[string]bool{own: true, other: true}, own, other), other, other},
		"not here":        {of(map[string]bool{foreign: true}, own, foreign), "", own},
		"nothing is here": {of(nil, own, foreign), "", ""},
	} {
		var asked platforms.MatchComparer
		if c.asks != "" {
			var err error
			if asked, err = matcherOf(c.asks); err != nil {
				t.Fatal(err)
			}
		}
		got := ""
		if v := choose(c.all, asked); v != nil {
			got = v.Platform
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
