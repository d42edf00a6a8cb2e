package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestWhatCountsAsSlower(t *testing.T) {
	seconds, rate := column{unit: "s"}, column{unit: "1/s"}
	for what, c := range map[string]struct {
		of          column
		other, this []float64
		want        bool
	}{
		"in each pair, and by much":              {seconds, []float64{1, 1, 1}, []float64{1.3, 1.05, 1.2}, true},
		"in each pair, and by little":            {seconds, []float64{1, 1, 1}, []float64{1.05, 1.02, 1.09}, false},
		"by much, but not in each":               {seconds, []float64{1, 1, 1}, []float64{1.5, 0.9, 1.5}, false},
		"faster":                                 {seconds, []float64{2, 2, 2}, []float64{1, 1, 1}, false},
		"a rate that fell":                       {rate, []float64{100, 100, 100}, []float64{80, 70, 85}, true},
		"a rate that rose":                       {rate, []float64{100, 100, 100}, []float64{180, 170, 185}, false},
		"the machine got slower under both":      {seconds, []float64{1, 2, 4}, []float64{1, 2, 4}, false},
		"nothing was measured of either of them": {seconds, []float64{0, 0, 0}, []float64{0, 0, 0}, false},
	} {
		if got := c.of.isSlower(pair{this: c.this, other: c.other}.ratios()); got != c.want {
			t.Errorf("%s: %v", what, got)
		}
	}
}

// TestNeitherBuildIsAlwaysFirst: what the one leaves behind would always be the other's to bear.
func TestNeitherBuildIsAlwaysFirst(t *testing.T) {
	this, other := &bench{}, &bench{}
	var turns []string
	r := row{columns: []column{{unit: "s"}}, measure: func(_ context.Context, b *bench) ([]float64, error) {
		turns = append(turns, map[*bench]string{this: "this", other: "other"}[b])
		return []float64{float64(len(turns))}, nil
	}}
	of, err := pairs(t.Context(), this, other, r, 3)
	if err != nil || !slices.Equal(turns, strings.Fields("other this this other other this")) || !slices.Equal(of[0].this, []float64{2, 3, 6}) || !slices.Equal(of[0].other, []float64{1, 4, 5}) {
		t.Errorf("%q, %+v, %v", turns, of, err)
	}
}

// TestACheckThatComparesNothingFails, and one that stops on the way.
func TestACheckThatComparesNothingFails(t *testing.T) {
	this, other := &bench{}, &bench{}
	failing := func(of *bench, from int) row {
		n := 0
		return row{name: "r", columns: []column{{unit: "s"}}, measure: func(_ context.Context, b *bench) ([]float64, error) {
			if b == of {
				if n++; n >= from {
					return nil, errors.New("broken")
				}
			}
			return []float64{1}, nil
		}}
	}
	never := func() row { return failing(nil, 1) }
	for name, c := range map[string]struct {
		rows  []row
		check bool
		want  string
	}{
		"none can be done":            {[]row{failing(other, 1)}, true, "nothing was compared"},
		"none can be done, unchecked": {[]row{failing(other, 1)}, false, ""},
		"there is no row":             {nil, true, "nothing was compared"},
		"one of two":                  {[]row{failing(other, 1), never()}, true, ""},
		"it could once":               {[]row{failing(other, 2), never()}, true, "r: the other build: broken"},
		"ours can't":                  {[]row{failing(this, 1)}, false, "r: broken"},
	} {
		err := beside(t.Context(), this, other, c.rows, 3, c.check)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
