package main

import (
	"strings"
	"testing"

	"github.com/orlop/orlop/e2e/guest/machine"
)

// Fault 23: a service without a limit takes all memory of the machine
// Seen: events and ps say that it was out of memory; it is started again by its policy
// Kept: its neighbours, the engine, the keeper and the shim run on: the kernel takes a service before them
func TestAServiceTakesAllMemoryOfTheMachine(t *testing.T) {
	g := newGuest(t, machine.Options{Megabytes: 640})
	g.run("orlop", "-f", "/stacks/memory.yaml", "up", "-d", "calm")
	events := g.hear("orlop", "-f", "/stacks/memory.yaml", "events", "--json")
	programs := []string{"orlopd", "orlop-engine", "orlop-shim"}
	const scores = `for p in /proc/[0-9]*; do case "$(readlink $p/exe)" in */"$1") cat $p/oom_score_adj;; esac; done`
	for _, name := range programs {
		for score := range strings.FieldsSeq(g.run("sh", "-c", scores, "sh", name)) {
			if !strings.HasPrefix(score, "-") {
				t.Errorf("%s has the score %s, which is as good to the kernel as any service's", name, score)
			}
		}
	}
	g.wants(`^0\s*$`, "orlop", "-f", "/stacks/memory.yaml", "exec", "-T", "calm", "cat", "/proc/1/oom_score_adj")
	g.wants(`^0\s*$`, "orlop", "-f", "/stacks/memory.yaml", "exec", "-T", "calm", "cat", "/proc/self/oom_score_adj")
	pids := func() string {
		return g.run("sh", "-c", `for n in orlopd orlop-engine orlop-shim; do pidof $n; done`) +
			g.run("orlop", "-f", "/stacks/memory.yaml", "exec", "-T", "calm", "awk", "{print $22}", "/proc/1/stat")
	}
	before := pids()
	g.run("orlop", "-f", "/stacks/memory.yaml", "up", "-d", "greedy")
	events.await(`"action":"oom"`, 2)
	events.await(`"action":"die"`, 2)
	g.wants(`greedy-1 .*Exited \(137\)`, "orlop", "-f", "/stacks/memory.yaml", "ps", "-a")
	if after := pids(); after != before {
		t.Errorf("the processes were\n%sand are\n%s", before, after)
	}
	g.run("orlop", "-f", "/stacks/memory.yaml", "down", "-t", "0")
}
