package main

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/orlop/orlop/e2e/guest/machine"
)

// Fault 32: the machine's clock is set an hour forwards, an hour back, and by a second as a time server does, while services run and fail
// Seen: no probe times out, no container that runs is restarted; one that fails goes on being tried after its pauses
// Kept: logs whole and in their order; the next `up` has nothing to do
func TestTheMachinesClockIsSet(t *testing.T) {
	g := newGuest(t, machine.Options{})
	orlop := func(args ...string) []string { return append([]string{"orlop", "-f", "/stacks/clock.yaml"}, args...) }
	g.run(orlop("up", "-d", "ticks", "checked", "fails")...)
	events := g.hear(orlop("events", "--json")...)
	ticks := g.hear(orlop("logs", "-f", "--no-log-prefix", "ticks")...)
	tried := g.hear(orlop("logs", "-f", "--no-log-prefix", "fails")...)
	count := func(h *heard, pattern string) int {
		text, _ := h.all()
		return len(regexp.MustCompile(pattern).FindAllString(text, -1))
	}
	step := func(by string) {
		t.Helper()
		before := count(tried, "tried")
		g.run("sh", "-c", "date -s @$(($(date +%s) "+by+"))")
		ticks.await(`\d+\n`, count(ticks, `\d+\n`)+25)
		tried.await("tried", before+1) // it is tried yet, and not in an hour
		if n := count(tried, "tried") - before; n > 8 {
			t.Errorf("after the clock was set by %s a service was started %d times in some seconds", by, n)
		}
	}
	for _, by := range []string{"+ 3600", "- 7200", "+ 1", "- 1", "+ 3600"} {
		step(by)
	}
	text, _ := events.all()
	for line := range strings.Lines(text) {
		if strings.Contains(line, "unhealthy") || strings.Contains(line, `"die"`) && !strings.Contains(line, `"service":"fails"`) {
			t.Errorf("there was the event %s", line)
		}
	}
	g.wants(`checked-1 .*\(healthy\)`, orlop("ps")...)
	last := 0
	for line := range strings.Lines(g.run(orlop("logs", "--no-log-prefix", "ticks")...)) {
		n, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil || n != last+1 {
			t.Fatalf("after %d the log has %q", last, line)
		}
		last = n
	}
	g.wants("up to date", orlop("up", "-d", "ticks", "checked")...)
	g.run(orlop("down", "-v", "-t", "0")...)
}

// Fault 32: the clock is set two days forwards in a build step, and a container is removed meanwhile
// Seen: nothing: the build goes on, and its image runs
// Kept: the layers of the build, images, containers that run
func TestTheClockIsSetInABuild(t *testing.T) {
	g := newGuest(t, machine.Options{})
	orlop := func(args ...string) []string { return append([]string{"orlop", "-f", "/stacks/clock.yaml"}, args...) }
	g.run("orlop", "-f", "/stacks/memory.yaml", "up", "-d", "calm")
	build := g.hear("sh", "-c", strings.Join(orlop("up", "-d", "--build", "long"), " ")+" 2>&1; echo code $?")
	build.await("RUN echo begun", 1)
	g.run("sh", "-c", "date -s @$(($(date +%s) + 172800))") // no lease is meant to last so long
	// What is removed has containerd collect what nothing holds any more.
	g.run("orlop", "-f", "/stacks/memory.yaml", "rm", "-sf", "calm")
	build.await(`code \d`, 1)
	if text, _ := build.all(); !strings.Contains(text, "code 0") {
		t.Fatalf("the build ends with\n%s", text)
	}
	g.run("orlop", "engine", "restart") // which collects when it starts
	g.wants("up to date", orlop("up", "-d", "--build", "long")...)
	g.run(orlop("down", "-v", "-t", "0")...)
}
