package main

import (
	"strings"
	"testing"
)

func TestWhatIsLeftOrMissingIsToldOfTheNearestState(t *testing.T) {
	s := states{{"link a", "link a", "link build"}, {"link a", "link a"}}
	for now, want := range map[string]string{
		"link a,link a":                      "",
		"link a,link a,link build":           "",
		"link a":                             "missing is link a",
		"link a,link a,link a":               "left is link a",
		"link a,link a,link build,mount":     "left is mount",
		"link a,link build,link a,mount,x,y": "left is mount left is x left is y",
	} {
		if got := strings.Join(s.differ(strings.Split(now, ",")), " "); got != want {
			t.Errorf("%s: %q, want %q", now, got, want)
		}
	}
}
