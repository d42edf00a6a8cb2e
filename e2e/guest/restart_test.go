package main

import (
	"strings"
	"testing"

	"github.com/orlop/orlop/e2e/guest/machine"
)

// Fault 13: a whole machine is restarted, by an engine that was told to stop, with one that runs, and after its SIGKILL
// Seen: containers come back by their policies, a dependency first; published ports answer; the next `up` has nothing to do
// Kept: volumes, images, what was stopped stays stopped; restarts are counted from 0
func TestAWholeMachineIsRestarted(t *testing.T) {
	g := newGuest(t, machine.Options{})
	const file = "/stacks/again.yaml"
	orlop := func(args ...string) []string { return append([]string{"orlop", "-f", file}, args...) }
	g.run(orlop("up", "-d", "--wait", "web", "db", "rests", "never")...)
	g.run(orlop("up", "-d", "twice")...)
	said := func(service, what string, times int) {
		g.hear(orlop("logs", "-f", "--no-log-prefix", service)...).await(what, times)
	}
	said("twice", "it stays", 1)
	g.run(orlop("stop", "-t", "0", "rests")...)
	g.run(orlop("exec", "-T", "db", "sh", "-c", "echo kept > /data/word")...)
	starts := 1
	for i, end := range []func(){
		func() { g.run("orlop", "engine", "stop") },
		func() {},
		func() { g.run("sh", "-c", "kill -9 $(pidof orlopd) $(pidof orlop-engine)") },
	} {
		g.run(orlop("exec", "-T", "twice", "rm", "/data/n")...)
		end()
		if err := g.off(g.ctx); err != nil {
			t.Fatal(err)
		}
		g.start()
		starts++
		said("web", "db is ready", starts)
		said("twice", "it stays", starts)
		if log := g.run(orlop("logs", "--no-log-prefix", "web")...); strings.Contains(log, "db is not there") {
			t.Fatalf("restart %d: web was started before db:\n%s", i+1, log)
		}
		g.wants(`up to date`, orlop("up", "-d", "web", "db")...)
		g.wants("hello", "wget", "-q", "-O", "-", "http://127.0.0.1:8081/index.html")
		g.wants(`rests-1 .*Exited`, orlop("ps", "-a")...)
		g.wants(`never-1 .*Exited`, orlop("ps", "-a")...)
		g.wants(`kept`, orlop("exec", "-T", "db", "cat", "/data/word")...)
	}
	g.run(orlop("down", "-v", "-t", "0")...)
}
