package main

import (
	"testing"

	"github.com/orlop/orlop/e2e/guest/machine"
)

// Where all control groups are of version 2, a health check begins in that of its container. It is begun without
// libcontainer, as can be seen when its helper is killed: it ends with it.
func TestHealthChecksInControlGroupsOfVersion2(t *testing.T) {
	g := newGuest(t, machine.Options{})
	orlop := func(args ...string) []string { return append([]string{"orlop", "-f", "/stacks/checked.yaml"}, args...) }
	g.run("test", "-e", "/sys/fs/cgroup/cgroup.controllers")
	g.run(orlop("up", "-d", "--wait", "fine")...)
	g.run(orlop("up", "-d", "long")...)
	g.run("sh", "-c", `find() { for p in /proc/[0-9]*; do case "$(tr '\0' ' ' <$p/cmdline)" in "sleep 4715 ") echo $p; return;; esac; done 2>/dev/null; }
		until one=$(find); [ -n "$one" ]; do :; done
		kill -9 $(pidof orlop-exec)
		while [ -e $one ]; do :; done`)
	g.wants(`fine-1 .*\(healthy\)`, orlop("ps")...)
	g.run(orlop("down", "-t", "0")...)
}
