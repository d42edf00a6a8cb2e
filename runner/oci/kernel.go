package oci

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/containerd/cgroups/v3"

	"github.com/orlop/orlop/spec"
)

// What this machine's kernel can do.

func isUnified() bool { return cgroups.Mode() == cgroups.Unified }

// countsSwap says that the kernel counts what control groups have in swap.
var countsSwap = sync.OnceValue(func() bool {
	pattern := "/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes"
	if isUnified() {
		pattern = "/sys/fs/cgroup/*/memory.swap.max"
	}
	found, _ := filepath.Glob(pattern)
	return len(found) > 0
})

// hasRealtime says that the kernel has real-time groups.
var hasRealtime = sync.OnceValue(func() bool {
	_, err := os.Stat("/sys/fs/cgroup/cpu/cpu.rt_runtime_us")
	return err == nil
})

// weighsDisks says that a scheduler of disks knows weights.
var weighsDisks = sync.OnceValue(func() bool {
	for _, pattern := range []string{"/sys/fs/cgroup/blkio/*/blkio.*weight", "/sys/fs/cgroup/*/io.weight", "/sys/fs/cgroup/*/io.bfq.weight"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			return true
		}
	}
	return false
})

// processors are those that containers may have: "0-3".
var processors = sync.OnceValue(func() string {
	for _, file := range []string{
		"/sys/fs/cgroup/cpuset/cpuset.effective_cpus", "/sys/fs/cgroup/cpuset.cpus.effective", "/sys/devices/system/cpu/online",
	} {
		if text, err := os.ReadFile(file); err == nil && len(strings.TrimSpace(string(text))) > 0 {
			return strings.TrimSpace(string(text))
		}
	}
	return ""
})

// cpuNumbers are the numbers in a list of processors that was checked.
func cpuNumbers(list string) []int {
	var out []int
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(part, "-")
		from, err := strconv.Atoi(first)
		if err != nil {
			continue
		}
		to := from
		if isRange {
			to, _ = strconv.Atoi(last)
		}
		for n := from; n <= to; n++ {
			out = append(out, n)
		}
	}
	return out
}

// unable tells what of a service this kernel can't do; it goes without.
func unable(s *spec.Service) []Warning {
	var out []Warning
	add := func(asked, can bool, key, text string) {
		if asked && !can {
			out = append(out, Warning{key, text})
		}
	}
	const v1 = "only control groups of version 1 know it, and this machine has version 2"
	add(s.MemSwappiness != nil, !isUnified(), "mem_swappiness", v1)
	add(s.OOMKillDisable, !isUnified(), "oom_kill_disable", v1)
	add(s.MemSwapLimit != 0, countsSwap(), "memswap_limit", "this kernel doesn't count swap: there is no limit on it")
	add(s.CPURTRuntime != 0 || s.CPURTPeriod != 0, hasRealtime(), "cpu_rt_runtime", "this kernel has no real-time groups")
	add(s.BlkioConfig != nil && (s.BlkioConfig.Weight != 0 || len(s.BlkioConfig.WeightDevice) > 0), weighsDisks(), "blkio_config.weight",
		"no scheduler of this machine's disks knows weights")
	return out
}
