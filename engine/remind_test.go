package engine

import (
	"slices"
	"strings"
	"testing"

	"github.com/orlop/orlop/planner"
)

// TestWhatAFailedPlanWarnedOfIsSaidByTheNext: the directory that was made in place of one
// that was missing is there by then.
func TestWhatAFailedPlanWarnedOfIsSaidByTheNext(t *testing.T) {
	e := newDesk(t).Engine
	hide := func(s string) string { return strings.ReplaceAll(s, "hunter2", "***") }
	warned := func(own ...string) []string {
		p := &planner.Plan{Project: "shop", Warnings: own}
		e.remind(p)
		return p.Warnings
	}
	if got := warned("a"); !slices.Equal(got, []string{"a"}) {
		t.Errorf("without a try before: %q", got)
	}
	e.keepWarned("shop", []string{"a", "b hunter2"}, true, hide)
	if got := warned("a"); !slices.Equal(got, []string{"a", "of the last try: b ***"}) {
		t.Errorf("after a failure: %q", got)
	}
	e.keepWarned("shop", []string{"c"}, true, hide)
	if got := warned(); !slices.Equal(got, []string{"of the last try: a", "of the last try: b ***", "of the last try: c"}) {
		t.Errorf("after two: %q", got)
	}
	e.keepWarned("shop", []string{"d"}, false, hide)
	if got := warned("e"); !slices.Equal(got, []string{"e"}) {
		t.Errorf("after one that went well: %q", got)
	}
}
