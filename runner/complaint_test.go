package runner

import (
	"errors"
	"os"
	"testing"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/complaint"
	"github.com/orlop/orlop/runner/supervisor"
	"github.com/orlop/orlop/spec"
)

func TestWhatCannotBeStartedIsToldInTheFilesWords(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const runc = "OCI runtime create failed: runc create failed: unable to start container process: error during container init: "
	const cgroup = "OCI runtime create failed: runc create failed: unable to start container process: error setting cgroup config for procHooks process: "
	service := &spec.Service{Volumes: []spec.Mount{
		{Type: spec.MountBind, Source: dir + "/file", Target: "/tmp"},
		{Type: spec.MountBind, Source: dir, Target: "/etc/passwd"},
		{Type: spec.MountBind, Source: dir, Target: "/app", ReadOnly: true},
		{Type: spec.MountVolume, Source: "modules", Target: "/app/node_modules"},
		{Type: spec.MountVolume, Source: "deep", Target: "/no/such"},
		{Type: spec.MountBind, Source: dir + "/file", Target: "/turned"},
		{Type: spec.MountBind, Source: dir + "/gone", Target: "/gone"},
		{Type: spec.MountBind, Source: dir + "/written", Target: "/written"},
	}}
	o := &Order{Places: spec.PlacesOf(map[string]spec.Place{
		"services.web.volumes[0]": {File: "stack.yaml", Line: 3, Column: 9}, "services.web.mem_limit": {File: "stack.yaml", Line: 7, Column: 5},
	})}
	c := &container{name: "web-1", made: &supervisor.Metadata{Name: "web-1", Service: "web", Applied: &planner.Applied{Service: service}, Binds: map[string]string{"/turned": "directory", "/written": "file"}}}
	mounting := func(source, target, said string) string {
		return runc + `error mounting "` + source + `" to rootfs at "` + target + `": ` + said
	}
	for said, want := range map[string]string{
		mounting(dir+"/file", "/tmp", "mount src=x, dstFd=/proc/thread-self/fd/16, flags=MS_BIND|MS_REC: not a directory"): "cannot mount " + dir + "/file at /tmp for web (stack.yaml:3:9): it is a file, and /tmp is a directory in the container",
		mounting(dir, "/etc/passwd", "mount src=x, dst=/etc/passwd: not a directory"):                                      "cannot mount " + dir + " at /etc/passwd for web: it is a directory, and /etc/passwd is a file in the container",
		mounting("/v", "/app/node_modules", `create mountpoint: mkdirat /run/x/rootfs/app/node_modules: read-only file system`): "cannot mount modules at /app/node_modules for web: /app is mounted read-only and has nothing there: " +
			"make it in the source of that mount, or mount that writable",
		mounting("/v", "/no/such", `create mountpoint: mkdirat /run/x/rootfs/no: read-only file system`): "cannot mount deep at /no/such for web: the image has nothing there, and the root file system is read-only: " +
			"make it in the image, or take read_only away",
		mounting("/v", "/no/such", "mount src=x, flags=MS_BIND: permission denied"): "cannot mount deep at /no/such for web: permission denied",
		mounting(dir+"/file", "/turned", "mount src=x: not a directory"): "cannot mount " + dir + "/file at /turned for web: it is a file, and was a directory when the container was made: " +
			"\"orlop up\" makes the container anew",
		runc + "failed to fulfil mount request: open " + dir + "/gone: no such file or directory":      "cannot mount " + dir + "/gone at /gone for web: it does not exist any more: put it back, or \"orlop up\" makes the container anew",
		runc + "failed to fulfil mount request: open " + dir + "/written: no such file or directory":   "cannot mount " + dir + "/written at /written for web: it does not exist any more: write the file again",
		cgroup + "unable to set memory limit to 1048576 (current usage: 3518464, peak usage: 3555328)": "services.web.mem_limit (stack.yaml:7:5): 1.0 MB is too little: starting a container takes 3.4 MB before its program runs",
		runc + "container init was OOM-killed (memory limit too low?)":                                 "services.web.mem_limit (stack.yaml:7:5): it is too little: the container ran out of memory before its program ran",
		runc + `exec: "nope": executable file not found in $PATH`:                                      `cannot start web-1: no directory of its PATH has a program "nope"`,
	} {
		long := errors.New(said)
		if err := complaint.Placed(complaint.Start(long, c.made), c.made.Applied.Service, o.Places); err.Error() != want || !errors.Is(err, long) {
			t.Errorf("%s\nbecomes\n%s\nwant\n%s", said, err, want)
		}
	}
}
