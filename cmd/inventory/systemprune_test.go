package inventory

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/planner"
)

// TestWhatAPruneLeavesAlone: nothing goes of a stack that runs, waits for its time, is an
// instance, or is worked on, but the containers of runs that have ended.
func TestWhatAPruneLeavesAlone(t *testing.T) {
	old, now := time.Unix(1000, 0), time.Unix(9000, 0)
	one := func(project, name string, state planner.State, change func(*planner.Container)) keptContainer {
		c := keptContainer{project: project, Container: planner.Container{Name: name, State: state, CreatedAt: old}}
		if change != nil {
			change(&c.Container)
		}
		return c
	}
	oneOff := func(c *planner.Container) { c.OneOff = true }
	all := []keptContainer{
		one("runs", "runs-web", planner.Running, nil), one("runs", "runs-migrate", planner.Exited, nil), one("runs", "runs-once", planner.Exited, oneOff),
		one("ended", "ended-web", planner.Exited, nil), one("ended", "ended-created", planner.Created, nil),
		one("young", "young-web", planner.Exited, func(c *planner.Container) { c.CreatedAt = now }),
		one("run", "run-web", planner.Exited, nil), one("run", "run-shell", planner.Running, oneOff),
		one("jobs", "jobs-web", planner.Exited, nil), one("copy", "copy-web", planner.Exited, nil), one("copy", "copy-once", planner.Exited, oneOff),
		one("busy", "busy-web", planner.Created, nil),
	}
	stacks := []*api.ProjectInfo{
		{Name: "runs", Running: 1}, {Name: "ended"}, {Name: "young"}, {Name: "jobs", Scheduled: 1}, {Name: "copy", Instance: "copy-1"}, {Name: "busy", InUse: true},
	}
	var gone []string
	for _, c := range ended(all, stacks, now) {
		gone = append(gone, c.Name)
	}
	if got, want := strings.Join(gone, " "), "runs-once ended-web ended-created"; got != want {
		t.Errorf("goes: %s, want %s", got, want)
	}
	here := left(all, stacks, gone)
	maps.DeleteFunc(here, func(_ string, is bool) bool { return !is })
	if got, want := strings.Join(slices.Sorted(maps.Keys(here)), " "), "busy copy jobs run runs young"; got != want {
		t.Errorf("is here: %s, want %s", got, want)
	}
}
