package display

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/orlop/orlop/planner"
)

func TestWhatWasLeftOutIsOneLine(t *testing.T) {
	at := time.Unix(0, 0)
	fill := func(n int, e planner.Event) *Board {
		b := NewBoard(at)
		plan := &planner.Plan{}
		for i := 1; i <= n; i++ {
			plan.Steps = append(plan.Steps, &planner.Step{ID: fmt.Sprintf("create s%d/1", i), Action: planner.Create, Resource: fmt.Sprintf("s%d/1", i)})
		}
		b.SetPlan(plan)
		for _, s := range plan.Steps {
			e.Step, e.Action, e.Resource = s.ID, s.Action, s.Resource
			b.Apply(e)
		}
		return b
	}
	skip := planner.Event{Kind: planner.Skipped, Text: "waits for db"}
	for name, c := range map[string]struct {
		b    *Board
		mark mark
		want string
	}{
		"none":      {fill(0, skip), skipped, ""},
		"one":       {fill(1, skip), skipped, " - up        s1/1              skipped: waits for db"},
		"five":      {fill(5, skip), skipped, " - skipped   5  s1/1, s2/1, s3/1, s4/1, s5/1: they wait for db"},
		"fifty":     {fill(50, skip), skipped, " - skipped   50  s1/1, s2/1, s3/1, s4/1 and 46 more: they wait for db"},
		"cancelled": {fill(9, planner.Event{Kind: planner.Cancelled}), cancelled, " - not begun 9  s1/1, s2/1, s3/1, s4/1 and 5 more"},
	} {
		if got := strings.Join(c.b.leftOut(c.mark, at, 100, Style{}), "\n"); got != c.want {
			t.Errorf("%s: it says\n%s\nwant\n%s", name, got, c.want)
		}
	}
}

func TestDigestsAreShortOnTheScreen(t *testing.T) {
	long := "busybox@sha256:" + strings.Repeat("0123456789abcdef", 4)
	b := NewBoard(time.Unix(0, 0))
	plan := &planner.Plan{Steps: []*planner.Step{{
		ID: "pull " + long, Action: planner.Pull, Resource: long, Reasons: []planner.Reason{{Text: "it was " + long}},
	}}}
	b.SetPlan(plan)
	rows := b.Apply(planner.Event{Step: "pull " + long, Action: planner.Pull, Resource: long, Kind: planner.Failed, Text: "cannot pull " + long})
	for what, text := range map[string]string{"plan": plan.Text(), "line": b.line(rows[0], time.Unix(0, 0), 0, 200, Style{})} {
		if strings.Count(text, "busybox@sha256:0123456789ab") != 2 || strings.Contains(text, "0123456789abc") {
			t.Errorf("the %s has a long digest:\n%s", what, text)
		}
	}
}
