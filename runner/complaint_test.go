package runner

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"testing"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/complaint"
	"github.com/orlop/orlop/runner/network/pool"
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
	if err := os.MkdirAll(dir+"/group", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/group/cpu.rt_runtime_us", []byte("0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	service := &spec.Service{MemLimit: 3 << 20, Tmpfs: []string{"/x:foo=1"}, Volumes: []spec.Mount{
		{Type: spec.MountBind, Source: dir + "/file", Target: "/tmp"},
		{Type: spec.MountBind, Source: dir, Target: "/etc/passwd"},
		{Type: spec.MountBind, Source: dir, Target: "/app", ReadOnly: true},
		{Type: spec.MountVolume, Source: "modules", Target: "/app/node_modules"},
		{Type: spec.MountVolume, Source: "deep", Target: "/no/such"},
		{Type: spec.MountBind, Source: dir + "/file", Target: "/turned"},
		{Type: spec.MountBind, Source: dir + "/gone", Target: "/gone"},
		{Type: spec.MountBind, Source: dir + "/written", Target: "/written"},
		{Type: spec.MountBind, Source: dir + "/removed", Target: "/removed"},
	}}
	o := &Order{Places: spec.PlacesOf(map[string]spec.Place{
		"services.web.volumes[0]": {File: "stack.yaml", Line: 3, Column: 9}, "services.web.mem_limit": {File: "stack.yaml", Line: 7, Column: 5},
	})}
	c := &container{name: "web-1", made: &supervisor.Metadata{Name: "web-1", Service: "web", Applied: &planner.Applied{Service: service}, Binds: map[string]string{"/turned": "directory", "/written": "file", "/removed": "directory"}}}
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
		runc + "failed to fulfil mount request: open " + dir + "/gone: no such file or directory":         "cannot mount " + dir + "/gone at /gone for web: it does not exist any more: put it back, or \"orlop up --force-recreate\" makes the container anew",
		runc + "failed to fulfil mount request: open " + dir + "/removed: no such file or directory":      "cannot mount " + dir + "/removed at /removed for web: it does not exist any more: put it back, or \"orlop up\" makes the container anew",
		runc + "failed to fulfil mount request: open " + dir + "/written: no such file or directory":      "cannot mount " + dir + "/written at /written for web: it does not exist any more: write the file again",
		cgroup + "unable to set memory limit to 1048576 (current usage: 3518464, peak usage: 3555328)":    "services.web.mem_limit (stack.yaml:7:5): 1.0 MB is too little: starting a container takes 3.4 MB before its program runs",
		cgroup + "unable to set memory limit to 2048 (current usage: 3518464, peak usage: 3555328)":       "services.web.mem_limit (stack.yaml:7:5): 2.0 kB is too little: starting a container takes 3.4 MB before its program runs",
		cgroup + `failed to write "77": write /sys/fs/cgroup/pids/orlop-1/abc/pids.max: invalid argument`: "services.web.pids_limit: the kernel refuses 77: invalid argument",
		"OCI runtime create failed: runc create failed: unable to start container process: unable to apply cgroup configuration: failed to write \"95000\": write " + dir + "/group/abc/cpu.rt_runtime_us: invalid argument": "services.web.cpu_rt_runtime: " +
			"the kernel refuses 95000: the group of all containers has 0 microseconds of real time: write at least so much into " + dir + "/group/cpu.rt_runtime_us, or take the key away",
		runc + `open sysctl net.nosuch file: unsafe procfs detected: openat2 fsmount:fscontext:proc/./sys/net/nosuch: no such file or directory`:            "services.web.sysctls.net.nosuch: this kernel has no such parameter for a container",
		runc + `failed to write sysctl net.ipv4.ip_forward = "hello": write fsmount:fscontext:proc/./sys/net/ipv4/ip_forward: invalid argument`:             "services.web.sysctls.net.ipv4.ip_forward: the kernel refuses \"hello\": invalid argument",
		mounting("tmpfs", "/x", "mount src=tmpfs, dst=/x, dstFd=/proc/thread-self/fd/13, flags=MS_NOSUID|MS_NODEV|MS_NOEXEC, data=foo=1: invalid argument"): "services.web.tmpfs[0]: the kernel does not take the options of /x: invalid argument",
		runc + "container init was OOM-killed (memory limit too low?)":                                                                                      "services.web.mem_limit (stack.yaml:7:5): it is too little: the container ran out of memory before its program ran",
		"cannot start a stopped process":                          "services.web.mem_limit (stack.yaml:7:5): it is too little: the container's first process was ended before its program ran",
		runc + `exec: "nope": executable file not found in $PATH`: `cannot start web-1: no directory of its PATH has a program "nope"`,
	} {
		long := errors.New(said)
		if err := complaint.Placed(complaint.Start(long, c.made), c.made.Applied.Service, o.Places); err.Error() != want || !errors.Is(err, long) {
			t.Errorf("%s\nbecomes\n%s\nwant\n%s", said, err, want)
		}
	}
}

// TestAnAddressThatIsNotTheNetworksHasItsPlace: of a network whose subnet the engine has
// chosen, nobody knows that before.
func TestAnAddressThatIsNotTheNetworksHasItsPlace(t *testing.T) {
	service := &spec.Service{Name: "web", Networks: map[string]*spec.ServiceNetwork{"back": nil, "front": {IPv4Address: "1.2.3.4"}}}
	places := spec.PlacesOf(map[string]spec.Place{"services.web.networks.front.ipv4_address": {File: "stack.yaml", Line: 5, Column: 9}})
	_, err := pool.New(netip.MustParsePrefix("10.1.2.0/24"), netip.MustParseAddr("10.1.2.1")).Take(netip.MustParseAddr("1.2.3.4"), nil)
	err = complaint.Placed(fmt.Errorf("cannot connect shop-web-1: network shop_front: %w", err), service, places)
	want := "services.web.networks.front.ipv4_address (stack.yaml:5:9): 1.2.3.4 is no host's address in 10.1.2.0/24, the subnet of the network: give the network a subnet that has it"
	if err.Error() != want {
		t.Errorf("it says %v, want %s", err, want)
	}
}

// TestLimitsThatAreRefusedInPlace: of a container that runs.
func TestLimitsThatAreRefusedInPlace(t *testing.T) {
	made := &supervisor.Metadata{Name: "web-1", Service: "web", Applied: &planner.Applied{Service: &spec.Service{}}}
	const runc = "/r/libexec/d43a/runc did not terminate successfully: exit status 1: "
	for said, want := range map[string]string{
		runc + "unable to set memory limit to 1048576 (current usage: 20717568, peak usage: 21012480)":          "services.web.mem_limit: 1.0 MB is too little: the container uses 19.8 MB",
		runc + `failed to write "99": write /sys/fs/cgroup/pids/orlop-e/b7/pids.max: invalid argument`:          "services.web.pids_limit: the kernel refuses 99: invalid argument",
		runc + `failed to write "1": write /sys/fs/cgroup/net_cls/orlop-e/b7/net_cls.classid: invalid argument`: `cannot change the limits of web-1: failed to write "1": write /sys/fs/cgroup/net_cls/orlop-e/b7/net_cls.classid: invalid argument`,
	} {
		long := errors.New(said)
		if err := complaint.Limits(long, made); err.Error() != want || !errors.Is(err, long) {
			t.Errorf("%s\nbecomes\n%s\nwant\n%s", said, err, want)
		}
	}
}
