package display

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/cron"
)

// ScheduleTable prints the jobs that the engine runs as ps does.
func ScheduleTable(w io.Writer, jobs map[string]planner.Schedule) error {
	t := NewTable(w)
	fmt.Fprintln(t, "JOB\tSCHEDULE\tLAST RUN\tNEXT RUN")
	for _, name := range slices.Sorted(maps.Keys(jobs)) {
		j := jobs[name]
		var when []string
		for _, s := range j.Applied.Service.Schedules() {
			when = append(when, s.String())
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", name, strings.Join(when, "; "), lastRun(&j), nextRun(&j))
	}
	return t.Flush()
}

func lastRun(j *planner.Schedule) string {
	if j.Last == nil {
		return "-"
	}
	at := planner.FireTime(j.Last.Fire.In(zoneOf(j)))
	if failure, _, _ := strings.Cut(j.Last.Failure(), "\n"); failure != "" {
		return at + " failed: " + spec.Shorten(failure)
	}
	return at + " succeeded"
}

// zoneOf is the time zone that a job's schedule names, or the machine's.
func zoneOf(j *planner.Schedule) *time.Location {
	for _, s := range j.Applied.Service.Schedules() {
		if zone, err := cron.Zone(s.Timezone); err == nil {
			return zone
		}
	}
	return cron.Machine()
}

func nextRun(j *planner.Schedule) string {
	text := "-"
	switch {
	case j.Paused:
		text = "not while the stack is stopped"
	case !j.Next.IsZero():
		text = planner.FireTime(j.Next.In(zoneOf(j)))
	}
	if j.Running {
		text += " (one goes on)"
	}
	return text
}
