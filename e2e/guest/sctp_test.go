package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/orlop/orlop/e2e/guest/machine"
)

// Ports of SCTP are published, in a machine whose kernel has it: this one's may not.
func TestPortsOfSCTP(t *testing.T) {
	g := newGuestWith(t, machine.Options{}, func() map[string]string {
		files := map[string]string{}
		for name, dir := range map[string]string{"/tests/sctp.test": "keeper/sctp", "/tests/keeper.test": "keeper"} {
			path := filepath.Join(t.TempDir(), "test")
			c := exec.CommandContext(t.Context(), "go", "test", "-c", "-ldflags", "-s -w", "-o", path, "./"+dir)
			c.Dir, c.Env = filepath.Join("..", ".."), append(os.Environ(), "CGO_ENABLED=0")
			if out, err := c.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			files[name] = string(text)
		}
		return files
	})
	for _, tests := range [][]string{{"/tests/sctp.test", "^Test(Messages|APort|WhatIs)"}, {"/tests/keeper.test", "^TestAPortOfSCTP$"}} {
		out := g.run("env", "ORLOP_SCTP=1", tests[0], "-test.v", "-test.run", tests[1])
		t.Log(out)
	}
	orlop := func(args ...string) []string { return append([]string{"orlop", "-f", "/stacks/sctp.yaml"}, args...) }
	ask := func(port string) {
		t.Helper()
		g.run("env", "ORLOP_SCTP_ASK="+port, "/tests/sctp.test", "-test.run", "^TestAsk$")
	}
	g.wants(`sctp +ports of it can be published`, "orlop", "doctor")
	g.run(orlop("up", "-d")...)
	g.wants(`3868->3868/sctp`, orlop("ps")...)
	ask("127.0.0.1:3868")
	ask("[::1]:3868")
	ask("127.0.0.1:4000")
	g.run(orlop("restart", "-t", "0")...)
	ask("127.0.0.1:3868")
	g.run("sh", "-c", "kill -9 $(pidof orlop-engine)")
	ask("127.0.0.1:3868") // the keeper has it
	g.wants(`is up to date`, orlop("up", "-d")...)
	g.run(orlop("down", "-t", "0")...)

	other := g.hear("env", "ORLOP_SCTP_SERVE=3868", "/tests/sctp.test", "-test.run", "^TestServe$")
	other.await("serves", 1)
	g.wants(`cannot publish 3868/sctp for echo \(stacks/sctp.yaml:\d+:\d+\): held by sctp.test \(process \d+\)`, "sh", "-c", "! orlop -f /stacks/sctp.yaml up -d 2>&1")
}
