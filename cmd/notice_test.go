package cmd_test

import (
	"strings"
	"testing"

	"github.com/orlop/orlop/planner"
)

// Whom a command waits for is said by each verb, unless its user asks for silence.
func TestVerbsSayWhomTheyWaitFor(t *testing.T) {
	const notice = "waiting for: up of shop, since 12 s (process 4711)"
	for line, want := range map[string]bool{
		"up -d": true, "build": true, "down": true, "stop": true, "run -T web true": true,
		"up -d --progress quiet": false, "run -T --progress quiet web true": false, "down --progress json": false,
	} {
		d := newDesk(t, shop).serve()
		d.engine.notice, d.engine.plan = notice, &planner.Plan{Project: "shop"}
		_, stderr, code := d.run(line)
		if said := strings.Contains(stderr, " "+notice+"\n"); said != want || code != 0 {
			t.Errorf("%s: exit code %d, and it says %q", line, code, stderr)
		}
	}
}

// A run may have to wait a second time, when all that it needs is there.
func TestARunSaysWhomItsContainerWaitsFor(t *testing.T) {
	const notice = "waiting for: up of shop, since 1 s (process 4711)"
	d := newDesk(t, shop).serve()
	d.engine.createNotice, d.engine.plan = notice, &planner.Plan{Project: "shop"}
	if _, stderr, code := d.run("run -T web true"); code != 0 || !strings.Contains(stderr, notice) {
		t.Errorf("exit code %d, and it says %q", code, stderr)
	}
}
