package shim

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

var (
	cgroupWrite = regexp.MustCompile(`failed to write "([^"]*)": write (\S+): (.*)$`)
	sysctlWrite = regexp.MustCompile(`^failed to write sysctl (\S+) = ("(?:[^"\\]|\\.)*"): .*: (.*?)$`)
	sysctlOpen  = regexp.MustCompile(`^open sysctl (\S+) file: .*: no such file or directory$`)
	memoryLimit = regexp.MustCompile(`unable to set memory limit to (\d+) \(current usage: (\d+), peak usage: (\d+)\)`)
)

// realtime is the file of a control group that holds how much real-time it has.
const realtime = "cpu.rt_runtime_us"

// keyOfFile is the key of a service that a file of its control group is for; "" if
// there is none.
func keyOfFile(name string) string {
	switch name {
	case realtime:
		return "cpu_rt_runtime"
	case "cpu.rt_period_us":
		return "cpu_rt_period"
	case "cpu.cfs_quota_us", "cpu.max":
		return "cpus"
	case "cpu.cfs_period_us":
		return "cpu_period"
	case "cpu.shares", "cpu.weight":
		return "cpu_shares"
	case "cpuset.cpus":
		return "cpuset"
	case "pids.max":
		return "pids_limit"
	case "memory.limit_in_bytes", "memory.max":
		return "mem_limit"
	case "memory.memsw.limit_in_bytes", "memory.swap.max":
		return "memswap_limit"
	case "memory.soft_limit_in_bytes", "memory.low":
		return "mem_reservation"
	case "memory.swappiness":
		return "mem_swappiness"
	case "memory.oom_control":
		return "oom_kill_disable"
	}
	if strings.HasPrefix(name, "blkio.") || strings.HasPrefix(name, "io.") {
		return "blkio_config"
	}
	return ""
}

// Refused is the key of a service whose value the kernel does not take, and why; ""
// where it is not that.
func (e *RuncError) Refused() (key, text string) {
	if m := sysctlOpen.FindStringSubmatch(e.text); m != nil {
		return "sysctls." + m[1], "this kernel has no such parameter for a container"
	}
	if m := sysctlWrite.FindStringSubmatch(e.text); m != nil {
		return "sysctls." + m[1], fmt.Sprintf("the kernel refuses %s: %s", m[2], m[3])
	}
	m := cgroupWrite.FindStringSubmatch(e.text)
	if m == nil {
		return "", ""
	}
	value, path, said := m[1], m[2], m[3]
	file := filepath.Base(path)
	if file != realtime {
		return keyOfFile(file), fmt.Sprintf("the kernel refuses %s: %s", value, said)
	}
	above := filepath.Join(filepath.Dir(filepath.Dir(path)), realtime)
	has, err := os.ReadFile(above)
	if err != nil {
		has = []byte("too few")
	}
	return keyOfFile(file), fmt.Sprintf("the kernel refuses %s: the group of all containers has %s microseconds of real time: write at least so much into %s, or take the key away",
		value, strings.TrimSpace(string(has)), above)
}

// Memory says that the limit of memory is too low to start anything; "" if it is
// not that.
func (e *RuncError) Memory() string {
	if m := memoryLimit.FindStringSubmatch(e.text); m != nil {
		return fmt.Sprintf("%s is too little: starting a container takes %s before its program runs", sizeOf(m[1]), sizeOf(m[3]))
	}
	if strings.Contains(e.text, "OOM-killed") {
		return "it is too little: the container ran out of memory before its program ran"
	}
	return ""
}

// MemoryInUse says that the limit of memory is below what a container that runs has;
// "" if it is not that.
func (e *RuncError) MemoryInUse() string {
	if m := memoryLimit.FindStringSubmatch(e.text); m != nil {
		return fmt.Sprintf("%s is too little: the container uses %s", sizeOf(m[1]), sizeOf(m[2]))
	}
	return ""
}

// sizeOf is a number of bytes in units of 1024, as the stack file has them.
func sizeOf(digits string) string {
	n, _ := strconv.ParseInt(digits, 10, 64)
	switch {
	case n >= 1<<19:
		return strconv.FormatFloat(float64(n)/(1<<20), 'f', 1, 64) + " MB"
	case n >= 1<<10:
		return strconv.FormatFloat(float64(n)/(1<<10), 'f', 1, 64) + " kB"
	}
	return digits + " bytes"
}
