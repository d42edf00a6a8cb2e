package main

import "testing"

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
