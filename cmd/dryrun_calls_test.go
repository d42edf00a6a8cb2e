package cmd_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
)

// TestDryRunsAreNotRefusedHalfway: what a verb that has a dry run asks the engine first may be asked.
func TestDryRunsAreNotRefusedHalfway(t *testing.T) {
	args := map[string]string{
		"help": "up", "scale": "web=2", "cp": "web:/x .", "container cp": "web:/x .", "image tag": "a b", "network connect": "n web", "network disconnect": "n web",
		"container commit": "web a", "commit": "web a", "port": "web 80", "publish": "r.test/a:1", "completion": "bash",
	}
	needless := strings.Split("up, down, create, build, pull, start, stop, restart, pause, unpause, kill, rm, watch, gc, plan, graph, ps, ls, logs, config, images, volumes, env, "+
		"doctor, version, config ls, secret ls, image ls, volume ls, network ls, image prune, volume prune, network prune, container prune, system df, "+
		"system prune, cache ls, cache prune, container ls, push, lock, engine status, engine logs", ", ")
	endless := []string{"events", "stats", "wait", "top", "container stats", "container top", "container wait"} // they only watch
	for _, verb := range cli.Foretelling() {
		if slices.Contains(endless, verb) {
			continue
		}
		of, ok := args[verb]
		if !ok && !slices.Contains(needless, verb) {
			of = "web"
		}
		t.Run(verb, func(t *testing.T) {
			d := newDesk(t, shop).serve()
			d.engine.verdict = &api.Verdict{Ok: true}
			if _, stderr, _ := d.run("--dry-run " + verb + " " + of); strings.Contains(stderr, "has no dry run") {
				t.Error(stderr)
			}
		})
	}
}
