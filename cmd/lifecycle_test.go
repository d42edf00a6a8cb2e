package cmd_test

import (
	"strings"
	"testing"

	"github.com/orlop/orlop/planner"
)

// TestWhatHasNoContainerIsNotStarted: a script that starts a service goes on as if it ran.
func TestWhatHasNoContainerIsNotStarted(t *testing.T) {
	web := []planner.Container{{Service: "web", State: planner.Exited}, {Service: "db", OneOff: true}}
	for name, test := range map[string]struct {
		line       string
		containers []planner.Container
		want       string
		code       int
	}{
		"a service":         {"start db", web, "service db has no container to start: \"orlop up -d db\" makes it\n", 1},
		"a restart":         {"restart db", web, "service db has no container to restart: \"orlop up -d db\" makes it\n", 1},
		"one of two":        {"start web db", web, "service db has no container to start: \"orlop up -d db\" makes it\n", 1},
		"two":               {"start web db", nil, "services web and db have no container to start: \"orlop up -d web db\" makes them\n", 1},
		"none at all":       {"start", nil, "shop has no container to start: \"orlop up -d\" makes them\n", 1},
		"some":              {"start", web, " shop has nothing to start (0.00 s)\n ! service db has no container to start: \"orlop up -d db\" makes it\n", 0},
		"one that has one":  {"start web", web, " web has nothing to start (0.00 s)\n", 0},
		"stop is no start":  {"stop db", nil, " db is stopped already (0.00 s)\n", 0},
		"scaled to nothing": {"start none", nil, " none has nothing to start (0.00 s)\n", 0},
	} {
		d := newDesk(t, shop+"  none: {image: busybox, scale: 0}\n").serve()
		d.engine.plan = &planner.Plan{Project: "shop"}
		d.engine.observed.Containers = test.containers
		_, stderr, code := d.run(test.line)
		if code != test.code || !strings.HasSuffix(stderr, test.want) || code != 0 && stderr != test.want {
			t.Errorf("%s: exit code %d, %q, want %d, %q", name, code, stderr, test.code, test.want)
		}
	}
}

func TestAProjectThatNobodyHasIsNotStarted(t *testing.T) {
	d := newDesk(t, "").serve()
	d.engine.plan = &planner.Plan{Project: "other"}
	_, stderr, code := d.run("-p other start")
	if want := "other has no container to start: \"orlop up -d\" makes them\n"; code != 1 || stderr != want {
		t.Errorf("exit code %d, %q, want 1, %q", code, stderr, want)
	}
}

// TestJobsAreStartedAndNeedNoContainer: a stack of jobs has none before their first run. What
// is resumed plans the engine, which here has nothing to do.
func TestJobsAreStartedAndNeedNoContainer(t *testing.T) {
	paused, going := planner.Schedule{Paused: true}, planner.Schedule{}
	lacks := " ! services db and web have no container to start: \"orlop up -d db web\" makes them\n"
	for name, test := range map[string]struct {
		line, file string
		job        planner.Schedule
		want       string
		code       int
	}{
		"by the project's name":           {"-p shop start", "", paused, " shop has nothing to start (0.00 s)\n", 0},
		"restart":                         {"-p shop restart", "", paused, " shop has nothing to restart (0.00 s)\n", 0},
		"that run as it is":               {"-p shop start", "", going, " shop has nothing to start (0.00 s)\n", 0},
		"beside services":                 {"start", shop, paused, lacks, 0},
		"beside services, nothing to do":  {"start", shop, going, "shop has no container to start: \"orlop up -d\" makes them\n", 1},
		"a service that is named has one": {"-p shop start web", "", paused, "service web has no container to start: \"orlop up -d web\" makes it\n", 1},
	} {
		d := newDesk(t, test.file).serve()
		d.engine.plan = &planner.Plan{Project: "shop"}
		d.engine.observed.Schedules = map[string]planner.Schedule{"backup": test.job}
		_, stderr, code := d.run(test.line)
		if code != test.code || !strings.HasSuffix(stderr, test.want) {
			t.Errorf("%s: exit code %d, %q, want %d, %q", name, code, stderr, test.code, test.want)
		}
	}
}
