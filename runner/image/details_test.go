package image

import (
	"strings"
	"testing"
	"time"

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

// Of an index the platform that is asked for must be here; the only one that is here is meant.
func TestChoose(t *testing.T) {
	index := &Details{Variants: []Variant{{Platform: "linux/amd64"}, {Platform: "linux/arm64", IsHere: true}}}
	both := &Details{Variants: []Variant{{Platform: "linux/amd64", IsHere: true}, {Platform: "linux/arm64", IsHere: true}}}
	for name, c := range map[string]struct {
		of             *Details
		platform       string
		want, complain string
	}{
		"the only one":     {index, "", "linux/arm64", ""},
		"the machine's":    {both, "", "", ""},
		"one of them":      {both, "arm64", "linux/arm64", ""},
		"another spelling": {both, "linux/arm64/v8", "linux/arm64", ""},
		"not here":         {index, "linux/amd64", "", "not here for linux/amd64"},
		"none":             {both, "a b", "", "not a platform"},
		"no index":         {&Details{}, "", "", ""},
	} {
		got, err := c.of.choose("shop", c.platform)
		if got != c.want || (err != nil) != (c.complain != "") || err != nil && !strings.Contains(err.Error(), c.complain) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}
