package proc

import (
	"reflect"
	"testing"
	"testing/fstest"
	"time"
)

func files(contents map[string]string) fstest.MapFS {
	root := fstest.MapFS{}
	for name, text := range contents {
		root[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return root
}

func TestCountersAreReadFromBothCgroups(t *testing.T) {
	meminfo := "MemTotal:       2048 kB\nMemFree: 1 kB\n"
	for name, c := range map[string]struct {
		files map[string]string
		want  Usage
	}{
		"v2": {map[string]string{
			"proc/meminfo": meminfo, "sys/fs/cgroup/o/c/cpu.stat": "usage_usec 1500000\nuser_usec 1\n",
			"sys/fs/cgroup/o/c/memory.current": "900000\n", "sys/fs/cgroup/o/c/memory.stat": "anon 1\ninactive_file 100000\n",
			"sys/fs/cgroup/o/c/memory.max": "1000000\n", "sys/fs/cgroup/o/c/pids.current": "7\n",
			"sys/fs/cgroup/o/c/io.stat": "8:0 rbytes=100 wbytes=5 rios=1 wios=1\n8:16 rbytes=20 wbytes=6 rios=1\n",
		}, Usage{CPU: 1500 * time.Millisecond, Memory: 800_000, MemoryLimit: 1_000_000, Processes: 7, Read: 120, Written: 11}},
		"v2 without a limit": {map[string]string{
			"proc/meminfo": meminfo, "sys/fs/cgroup/o/c/memory.current": "5\n", "sys/fs/cgroup/o/c/memory.max": "max\n",
		}, Usage{Memory: 5, MemoryLimit: 2 << 20}},
		"v1": {map[string]string{
			"proc/meminfo": meminfo, "sys/fs/cgroup/cpuacct/o/c/cpuacct.usage": "2000000000\n",
			"sys/fs/cgroup/memory/o/c/memory.usage_in_bytes": "500\n", "sys/fs/cgroup/memory/o/c/memory.stat": "inactive_file 1\ntotal_inactive_file 200\n",
			"sys/fs/cgroup/memory/o/c/memory.limit_in_bytes": "9223372036854771712\n", "sys/fs/cgroup/pids/o/c/pids.current": "2\n",
			"sys/fs/cgroup/blkio/o/c/blkio.throttle.io_service_bytes": "8:0 Read 10\n8:0 Write 20\n8:0 Total 30\n8:16 Read 1\nTotal 31\n",
		}, Usage{CPU: 2 * time.Second, Memory: 300, MemoryLimit: 2 << 20, Processes: 2, Read: 11, Written: 20}},
	} {
		var got Usage
		got.measure(files(c.files), "o/c")
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s gives\n%+v\nwant\n%+v", name, got, c.want)
		}
	}
}

func TestTrafficLeavesLoopbackOut(t *testing.T) {
	received, sent := traffic("Inter-|   Receive\n face |bytes\n    lo: 99 1 0 0 0 0 0 0 98 1 0 0 0 0 0 0\n  eth0: 10 1 0 0 0 0 0 0 20 1 0 0 0 0 0 0\n  eth1: 1 1 0 0 0 0 0 0 2 1 0 0 0 0 0 0\n")
	if received != 11 || sent != 22 {
		t.Errorf("traffic is %d, %d", received, sent)
	}
}

func TestProcessesOfACgroupAndThoseBelow(t *testing.T) {
	root := files(map[string]string{
		"proc/stat":                         "cpu 1\nbtime 1000\n",
		"sys/fs/cgroup/o/c/cgroup.procs":    "12\n99\n",
		"sys/fs/cgroup/o/c/in/cgroup.procs": "13\n",
		"proc/12/stat":                      "12 (a (b) c) S 1 12 12 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 1 0 500 1000 20",
		"proc/12/status":                    "Name:\ta\nUid:\t33\t33\t33\t33\nVmRSS:\t   8 kB\n",
		"proc/12/cmdline":                   "a\x00-x\x00y z\x00",
		"proc/13/stat":                      "13 (idle) Z 12 12 12 0 -1 4194560 1 2 3 4 0 0 0 0 20 0 1 0 600 1000 20",
	})
	got := processList(root, groupProcesses(root, "o/c"))
	want := []Process{
		{PID: 12, PPID: 1, UID: 33, StartedAt: time.Unix(1005, 0), CPU: 2 * time.Second, Memory: 8192, Command: "a -x y z"},
		{PID: 13, PPID: 12, StartedAt: time.Unix(1006, 0), Command: "[idle]"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("processes are\n%+v\nwant\n%+v", got, want)
	}
}
