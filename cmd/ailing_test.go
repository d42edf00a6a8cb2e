package cmd_test

import (
	"strings"
	"testing"
	"time"

	"github.com/orlop/orlop/planner"
)

// TestAnUpTellsOfContainersThatAreNotWell: a stack that is as its file wants it need
// not run.
func TestAnUpTellsOfContainersThatAreNotWell(t *testing.T) {
	for name, test := range map[string]struct {
		observed planner.Container
		want     string
	}{
		"one that is restarted again and again": {
			planner.Container{State: planner.Restarting, ExitCode: 3, Restarts: 4},
			" shop is up to date, but 1 container does not run as it should (0.00 s)\n" +
				" ! web/1 keeps restarting: exited with code 3, restarted 4 times. See: orlop logs web\n",
		},
		"one that has just been restarted": {
			planner.Container{State: planner.Running, Restarts: 2, StartedAt: then.Add(-time.Second)},
			" shop is up to date, but 1 container does not run as it should (0.00 s)\n" +
				" ! web/1 keeps restarting: it has run for 1.0 s, restarted 2 times. See: orlop logs web\n",
		},
		"one that cannot be started": {
			planner.Container{State: planner.Restarting, Restarts: 1, Error: "no such program"},
			" shop is up to date, but 1 container does not run as it should (0.00 s)\n" +
				" ! web/1 cannot be started: no such program\n",
		},
		"an unhealthy one": {
			planner.Container{State: planner.Running, Health: planner.Unhealthy, LastProbe: &planner.ProbeInfo{ExitCode: 1, Failing: 3, Output: "refused\nmore"}},
			" shop is up to date, but 1 container does not run as it should (0.00 s)\n" +
				" ! web/1 is unhealthy: 3 failed probes, the last one with exit code 1: refused. See: orlop logs web\n",
		},
		"one that was restarted long ago": {
			planner.Container{State: planner.Running, Restarts: 2, StartedAt: then.Add(-time.Hour)},
			" shop is up to date: 1 service, 1 container (0.00 s)\n",
		},
		"one of a service that is not asked for": {
			planner.Container{Service: "mail", State: planner.Restarting, Restarts: 4},
			" shop is up to date: 1 service, 1 container (0.00 s)\n",
		},
	} {
		d := newDesk(t, "name: shop\nservices:\n  web: {image: nginx}\n  mail: {image: nginx}\n").serve()
		d.engine.plan = &planner.Plan{Project: "shop", Leave: 1}
		c := test.observed
		c.Number = 1
		if c.Service == "" {
			c.Service = "web"
		}
		d.engine.observed.Containers = []planner.Container{c}
		_, stderr, code := d.run("up -d web")
		equal(t, name, stderr, test.want)
		if code != 0 {
			t.Errorf("%s: exit code is %d", name, code)
		}
		if _, quiet, _ := d.run("--progress quiet up -d web"); strings.Contains(test.want, "!") != strings.Contains(quiet, "!") {
			t.Errorf("%s: a quiet up says %q", name, quiet)
		}
	}
}

func TestAnUpThatOnlyWaitsSaysSo(t *testing.T) {
	d := newDesk(t, "name: shop\nservices:\n  web: {image: nginx}\n").serve()
	d.engine.plan = &planner.Plan{Project: "shop", Leave: 1, Steps: []*planner.Step{
		{ID: "await web ready", Action: planner.Await, Resource: "web ready", Service: "web", Condition: planner.Ready},
	}}
	_, stderr, _ := d.run("up -d --wait")
	if want := " shop  1 service  ·  plan: nothing to change, wait for web\n"; !strings.HasPrefix(stderr, want) {
		t.Errorf("it says %q, want %q first", stderr, want)
	}
}
