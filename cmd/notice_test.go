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
