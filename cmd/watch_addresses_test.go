package cmd_test

import (
	"os"
	"strings"
	"testing"

	"github.com/orlop/orlop/planner"
)

func TestWatchPrintsTheAddressesAsUpDoes(t *testing.T) {
	for _, line := range []string{"up -d", "watch"} {
		d := watchDesk(t)
		web := webContainer(planner.Running, 0)
		web.Published = []planner.Binding{{HostPort: 8080, Target: 80, Protocol: "tcp"}}
		d.engine.observed.Containers = []planner.Container{web}
		step := &planner.Step{ID: "create web/1", Action: planner.Create, Resource: "web/1", Service: "web", Number: 1}
		d.engine.plan = &planner.Plan{Project: "shop", Steps: []*planner.Step{step}}
		go func() {
			for call := range d.engine.reached {
				if call == "watch" {
					d.signals <- os.Interrupt
				}
			}
		}()
		_, stderr, _ := d.run(line)
		if !strings.Contains(stderr, "shop is up in 0.00 s   http://localhost:8080\n") {
			t.Errorf("%s says\n%s", line, stderr)
		}
	}
}
