package planner_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	. "github.com/orlop/orlop/planner"

	"github.com/orlop/orlop/spec"
)

const scheduled = `
services:
  web: {image: web}
jobs:
  backup:
    image: backup
    command: save
    depends_on: [web, mount]
    triggers: {schedule: [{cron: "0 3 * * *", timezone: Europe/Paris}]}
  mount: {build: ., triggers: {manual: true}}
  other: {image: unused, triggers: {manual: true}}
`

// TestSchedulesArePlanned: from nothing, unchanged, changed, paused, gone.
func TestSchedulesArePlanned(t *testing.T) {
	w := newWorld()
	w.observed.Clock = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	plan := func(text string, opts Options) *Plan {
		t.Helper()
		p, err := Converge(load(t, text), &w.observed, opts)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	holds := func(p *Plan, want ...string) {
		t.Helper()
		for _, line := range want {
			if !strings.Contains(p.Text(), line) {
				t.Errorf("no %q in\n%s", line, p.Text())
			}
		}
	}
	if some := plan(scheduled, Options{Services: []string{"web"}}); some.Step("schedule backup") != nil || some.Step("pull backup") != nil {
		t.Errorf("a part of the stack has\n%s", some.Text())
	}
	first := plan(scheduled, Options{})
	holds(first, "+ schedule backup   0 3 * * * Europe/Paris, next at 2026-11-30 03:00 CET   (stack.yaml:9)", "pull backup", "build mount", "schedule 1")
	if s := first.Step("schedule backup"); s == nil || strings.Join(s.Needs, ", ") != "build mount, pull backup" || first.Step("pull unused") != nil {
		t.Errorf("it is planned as %+v", s)
	}
	w.apply(t, first)
	if again := plan(scheduled, Options{}); !again.IsEmpty() {
		t.Errorf("again there is\n%s", again.Text())
	}
	changed := plan(strings.NewReplacer("save", "save all", "0 3", "0 4").Replace(scheduled), Options{})
	holds(changed, `~ schedule backup   jobs.backup.command: ["save"] -> ["save","all"]   (stack.yaml:7)`, "its schedule changed", "0 4 * * * Europe/Paris, next at")

	w.observed.Schedules["backup"] = Schedule{Applied: w.observed.Schedules["backup"].Applied, Paused: true, Last: &Run{Fire: w.observed.Clock, ExitCode: 3, Container: "x"}}
	paused := plan(scheduled, Options{})
	holds(paused, "~ schedule backup   it was stopped with the stack", "! job backup: its run of 2026-11-29 12:00 UTC failed: exit code 3 (orlop logs backup)")
	if still := plan(scheduled, Options{NoStart: true}); !still.IsEmpty() {
		t.Errorf("without a start there is\n%s", still.Text())
	}
	holds(plan("services: {web: {image: web}}", Options{}), "- unschedule backup   it is not in the stack file any more")
	manual := strings.Replace(scheduled, "{schedule: [{cron: \"0 3 * * *\", timezone: Europe/Paris}]}", "{manual: true}", 1)
	holds(plan(manual, Options{}), "- unschedule backup   it has no schedule any more   (stack.yaml:9)")
	if off := plan("services: {web: {image: web}}\njobs: {backup: {image: backup, profiles: [x], triggers: {schedule: ['0 3 * * *']}}}", Options{}); !off.IsEmpty() {
		t.Errorf("of a profile that is not active\n%s", off.Text())
	}
	w.observed.Schedules["backup"] = Schedule{Applied: w.observed.Schedules["backup"].Applied}
	for action, want := range map[Action]string{Stop: "suspend backup", Kill: "suspend backup", Restart: "", Remove: ""} {
		whole, some := Lifecycle("shop", &w.observed, action, nil, ""), Lifecycle("shop", &w.observed, action, []string{"web"}, "")
		if (whole.Step("suspend backup") != nil) != (want != "") || some.Step("suspend backup") != nil || whole.Step("resume backup") != nil {
			t.Errorf("to %s the stack is\n%s", action, whole.Text())
		}
	}
	w.observed.Schedules["backup"] = Schedule{Applied: w.observed.Schedules["backup"].Applied, Paused: true}
	if start := Lifecycle("shop", &w.observed, Start, nil, ""); start.Step("resume backup") == nil {
		t.Errorf("a start is\n%s", start.Text())
	}
	down := Down("shop", load(t, scheduled), &w.observed, DownOptions{})
	if down.Step("unschedule backup") == nil || Down("shop", nil, &w.observed, DownOptions{Services: []string{"web"}}).Step("unschedule backup") != nil {
		t.Errorf("a down is\n%s", down.Text())
	}
}

// TestAJobOfTheEngineHasNoCaller: what only a caller can give is refused, with its place.
func TestAJobOfTheEngineHasNoCaller(t *testing.T) {
	const text = `services: {web: {image: web, secrets: [token]}}
jobs:
  backup:
    image: backup
    secrets: [key, token]
    depends_on: [first]
    triggers: {schedule: ["0 3 * * *"]}
  first: {image: backup, secrets: [inline], triggers: {manual: true}}
  other: {image: backup, secrets: [token], triggers: {manual: true}}
secrets: {key: {file: key}, token: {environment: TOKEN}, inline: {content: open}}
`
	p := load(t, text)
	_, err := Converge(p, &newWorld().observed, Options{})
	var mistakes *spec.Mistakes
	if !errors.As(err, &mistakes) || len(mistakes.Diagnostics) != 2 {
		t.Fatalf("the plan says %v", err)
	}
	for i, want := range []string{"stack.yaml:5:20", "stack.yaml:8:36"} {
		if got := mistakes.Diagnostics[i].Place.String(); got != want {
			t.Errorf("place %s, want %s", got, want)
		}
	}
	if _, err := Converge(p, &newWorld().observed, Options{Services: []string{"web"}}); err != nil {
		t.Errorf("of a service alone: %v", err)
	}
}
