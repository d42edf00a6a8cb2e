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
