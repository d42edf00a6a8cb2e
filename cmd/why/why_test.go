package why

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

func TestExplanation(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	project := &spec.Project{Name: "shop", Services: map[string]*spec.Service{
		"web":   {Name: "web", DependsOn: map[string]spec.Dependency{"db": {Condition: spec.ServiceHealthy, Required: true}, "gone": {Condition: spec.ServiceStarted}}},
		"db":    {Name: "db"},
		"lone":  {Name: "lone"},
		"front": {Name: "front", DependsOn: map[string]spec.Dependency{"web": {Condition: spec.ServiceStarted, Restart: true, Required: true}}},
	}}
	containers := []planner.Container{
		{
			ID: "1", Service: "web", Number: 1, State: planner.Running, Restarts: 2, ExitCode: 137, OOMKilled: true,
			StartedAt: now.Add(-time.Minute), ExitedAt: now.Add(-2 * time.Minute),
		},
		{ID: "2", Service: "web", Number: 2, State: planner.Exited, Stopped: true, ExitedAt: now.Add(-time.Hour)},
		{ID: "4", Service: "lone", Number: 1, State: planner.Created},
		{
			ID: "3", Service: "db", Number: 1, State: planner.Running, Health: planner.Unhealthy, StartedAt: now.Add(-time.Hour),
			LastProbe: &planner.ProbeInfo{At: now.Add(-time.Second), ExitCode: 2, Failing: 4, Output: "no connection\nmore"},
		},
	}
	plan := &planner.Plan{Steps: []*planner.Step{
		{Action: planner.Replace, Resource: "web/1", Service: "web", Reasons: []planner.Reason{{
			Path: "services.web.environment.LOG", From: `"info"`, To: `"debug"`, Place: spec.Place{File: "/s/stack.yaml", Line: 14},
		}}},
		{Action: planner.Create, Resource: "front/1", Service: "front"},
	}}
	var out bytes.Buffer
	(&explanation{project: project, containers: containers, plan: plan, now: now}).print(&out, "web")
	want := ` web   1 exited; 1 running
   web/1          restarted 2 times; the last time about a minute ago, after it had exited with code 137 (SIGKILL, out of memory)
   web/2          was stopped about an hour ago, on the user's word, and exited with code 0
   waits for      db until it is healthy: not yet: running, unhealthy (4 health probes in a row failed, the last one 1 second ago with exit code 2: no connection)
   waits for      gone until it is started: it is not part of the stack now
   needed by      front, until it is started; restarted with it
   would change   ± web/1   services.web.environment.LOG: "info" -> "debug"   (stack.yaml:14)
`
	if out.String() != want {
		t.Errorf("why says\n%s\nwant\n%s", out.String(), want)
	}
	out.Reset()
	(&explanation{project: project, containers: containers, plan: plan, now: now}).print(&out, "lone")
	if text := out.String(); !strings.Contains(text, "lone/1         was never started\n") || strings.Contains(text, "runs for") {
		t.Errorf("of what was never started why says\n%s", text)
	}
	out.Reset()
	failed := []planner.Event{
		{Time: now.Add(-time.Minute), Action: planner.Build, Resource: "lone", Service: "lone", Text: "exit code: 3", Lines: []string{"cannot go on"}},
		{Time: now.Add(-time.Hour), Action: planner.Replace, Resource: "lone/1", Service: "lone", Text: "no program"},
		{Time: now, Action: planner.Create, Resource: "web/1", Service: "web", Text: "of another"},
		{Time: now, Action: planner.Pull, Resource: "former:1", Service: "lone", Text: "of an image that it had"},
	}
	project.Services["lone"].Build = &spec.Build{}
	(&explanation{project: project, plan: &planner.Plan{}, failed: failed, now: now}).print(&out, "lone")
	want = ` lone   has no container: "orlop up -d lone" makes it
   lone           the last build of its image failed about a minute ago: exit code: 3
                    | cannot go on
   lone/1         the last try to start it failed about an hour ago: no program
   would change   nothing: it is as the stack file says
`
	if out.String() != want {
		t.Errorf("why says\n%s\nwant\n%s", out.String(), want)
	}
	out.Reset()
	project.Services["lone"].Build, project.Services["lone"].Image = nil, "lone:2"
	failed[0].Action, failed[0].Resource = planner.Pull, "lone:2 (linux/arm64)"
	failed = append(failed[:2], planner.Event{Time: now, Action: planner.Build, Resource: "lone", Service: "lone", Text: "of a build that it had"})
	(&explanation{project: project, plan: &planner.Plan{}, failed: failed, now: now}).print(&out, "lone")
	if text := out.String(); !strings.Contains(text, "the last pull of its image failed") || strings.Contains(text, "that it had") {
		t.Errorf("of what is pulled now why says\n%s", text)
	}
	out.Reset()
	hostile := &planner.Plan{Steps: []*planner.Step{{Action: planner.Replace, Resource: "db/1", Service: "db", Reasons: []planner.Reason{{Path: "services.db.labels.a\x1b[2Jb\x08"}}}}}
	(&explanation{project: project, containers: containers, plan: hostile, now: now}).print(&out, "db")
	if text := out.String(); strings.ContainsAny(text, "\x1b\x08") || !strings.Contains(text, "labels.ab") {
		t.Errorf("why says %q", text)
	}
	out.Reset()
	(&explanation{project: project, containers: containers, plan: &planner.Plan{}, now: now}).print(&out, "front")
	want = ` front   has no container: "orlop up -d front" makes it
   waits for      web until it is started: not yet: 1 exited; 1 running (was stopped about an hour ago, on the user's word, and exited with code 0)
   would change   nothing: it is as the stack file says
`
	if out.String() != want {
		t.Errorf("why says\n%s\nwant\n%s", out.String(), want)
	}
}
