package oci

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/runner/proc"
	"github.com/orlop/orlop/spec"
)

// pidsDefault bounds the processes of a container that sets no pids_limit.
const pidsDefault = 32768

// Resources are the cgroup limits of a service, but for those of block devices.
func Resources(s *spec.Service) *specs.LinuxResources {
	res := &specs.LinuxResources{Devices: deviceRules(), Memory: memory(s), CPU: cpu(s), Pids: &specs.LinuxPids{}}
	pids := cmp.Or(s.MostPids(), pidsDefault)
	if pids < 0 {
		pids = -1
	}
	res.Pids.Limit = &pids
	return res
}

// memory is nil where a service says nothing of it. Swap is as much as the memory
// unless it is told, as with Docker, where the kernel counts it.
func memory(s *spec.Service) *specs.LinuxMemory {
	var m specs.LinuxMemory
	if limit := int64(s.MemoryLimit()); limit > 0 {
		m.Limit = &limit
		if countsSwap() {
			swap := cmp.Or(int64(s.MemSwapLimit), 2*limit)
			m.Swap = &swap
		}
	}
	if reserved := int64(s.MemoryReserved()); reserved > 0 {
		m.Reservation = &reserved
	}
	if s.MemSwappiness != nil && !isUnified() {
		swappiness := uint64(*s.MemSwappiness)
		m.Swappiness = &swappiness
	}
	if s.OOMKillDisable && !isUnified() {
		m.DisableOOMKiller = &s.OOMKillDisable
	}
	if m == (specs.LinuxMemory{}) {
		return nil
	}
	return &m
}

// periodOfCPUs is the time over which cpus counts, in microseconds.
const periodOfCPUs = 100_000

func cpu(s *spec.Service) *specs.LinuxCPU {
	c := specs.LinuxCPU{Cpus: s.CPUSet}
	if cpus := s.CPULimit(); cpus > 0 {
		period, quota := uint64(periodOfCPUs), int64(cpus*periodOfCPUs)
		c.Period, c.Quota = &period, &quota
	}
	set := func(to **uint64, from int64) {
		if from > 0 {
			value := uint64(from)
			*to = &value
		}
	}
	set(&c.Period, s.CPUPeriod)
	set(&c.Shares, s.CPUShares)
	if hasRealtime() {
		set(&c.RealtimePeriod, s.CPURTPeriod)
	}
	if s.CPUQuota != 0 {
		c.Quota = &s.CPUQuota
	}
	if s.CPURTRuntime != 0 && hasRealtime() {
		c.RealtimeRuntime = &s.CPURTRuntime
	}
	if c == (specs.LinuxCPU{}) {
		return nil
	}
	return &c
}

// block is nil where a service says nothing of block devices.
func block(s *spec.Service) (*specs.LinuxBlockIO, error) {
	config := s.BlkioConfig
	if config == nil {
		return nil, nil
	}
	var b specs.LinuxBlockIO
	if config.Weight != 0 && weighsDisks() {
		weight := uint16(config.Weight)
		b.Weight = &weight
	}
	for i, d := range config.WeightDevice {
		major, minor, err := blockDevice(s, "weight_device", i, d.Path)
		if err != nil {
			return nil, err
		}
		if !weighsDisks() {
			break
		}
		weight := uint16(d.Weight)
		b.WeightDevice = append(b.WeightDevice, specs.LinuxWeightDevice{LinuxBlockIODevice: specs.LinuxBlockIODevice{Major: major, Minor: minor}, Weight: &weight})
	}
	for _, list := range []struct {
		key  string
		from []spec.DeviceRate
		to   *[]specs.LinuxThrottleDevice
	}{
		{"device_read_bps", config.DeviceReadBps, &b.ThrottleReadBpsDevice},
		{"device_read_iops", config.DeviceReadIOps, &b.ThrottleReadIOPSDevice},
		{"device_write_bps", config.DeviceWriteBps, &b.ThrottleWriteBpsDevice},
		{"device_write_iops", config.DeviceWriteIOps, &b.ThrottleWriteIOPSDevice},
	} {
		for i, d := range list.from {
			major, minor, err := blockDevice(s, list.key, i, d.Path)
			if err != nil {
				return nil, err
			}
			*list.to = append(*list.to, specs.LinuxThrottleDevice{LinuxBlockIODevice: specs.LinuxBlockIODevice{Major: major, Minor: minor}, Rate: uint64(d.Rate)})
		}
	}
	return &b, nil
}

// blockDevice is the number of a block device of the host.
func blockDevice(s *spec.Service, key string, i int, path string) (major, minor int64, err error) {
	var st unix.Stat_t
	err = unix.Stat(path, &st)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFBLK {
		err = errors.New("it is no block device")
	}
	if err != nil {
		return 0, 0, &KeyError{Service: s.Name, Key: fmt.Sprintf("blkio_config.%s[%d].path", key, i), Text: fmt.Sprintf("cannot limit %s: %v", path, err), Err: err}
	}
	return int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev)), nil
}

// deviceRules denies all devices but those that every container has.
func deviceRules() []specs.LinuxDeviceCgroup {
	rules := []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}
	allow := func(kind string, major, minor int64, access string) {
		rule := specs.LinuxDeviceCgroup{Allow: true, Type: kind, Access: access}
		if major >= 0 {
			rule.Major = &major
		}
		if minor >= 0 {
			rule.Minor = &minor
		}
		rules = append(rules, rule)
	}
	allow("c", -1, -1, "m")
	allow("b", -1, -1, "m")
	for _, d := range [][2]int64{{1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, {5, 0}, {5, 1}, {5, 2}, {136, -1}} {
		allow("c", d[0], d[1], "rwm")
	}
	return rules
}

// sharesDefault are the shares of a processor where nothing is said.
const sharesDefault = 1024

// Limits are the limits of a service as they are set for a container that runs and was
// made for another one: what that had and this has not is lifted. Where was is nil nobody
// knows what it had.
func Limits(s, was *spec.Service) *specs.LinuxResources {
	res := Resources(s)
	res.Devices = nil
	unlimited, nothing := int64(-1), int64(0)
	var m specs.LinuxMemory
	if res.Memory != nil {
		m = *res.Memory
	}
	if m.Limit == nil {
		m.Limit = &unlimited
	}
	if m.Reservation == nil && (was == nil || was.MemoryReserved() > 0) {
		if m.Reservation = &unlimited; isUnified() {
			m.Reservation, res.Unified = &nothing, map[string]string{"memory.low": "0"}
		}
	}
	res.Memory = &m
	var c specs.LinuxCPU
	if res.CPU != nil {
		c = *res.CPU
	}
	if c.Period == nil {
		period := uint64(periodOfCPUs)
		c.Period = &period
	}
	if c.Quota == nil {
		c.Quota = &unlimited
	}
	if c.Shares == nil && (was == nil || was.CPUShares > 0) {
		shares := uint64(sharesDefault)
		c.Shares = &shares
	}
	if c.Cpus == "" && (was == nil || was.CPUSet != "") {
		c.Cpus = processors()
	}
	res.CPU = &c
	return res
}

// SetLimits puts the limits of a service into a container's document, for its next
// start. What it may do with devices stays.
func SetLimits(doc *specs.Spec, s *spec.Service) {
	devices, disks := doc.Linux.Resources.Devices, doc.Linux.Resources.BlockIO
	doc.Linux.Resources = Resources(s)
	doc.Linux.Resources.Devices, doc.Linux.Resources.BlockIO = devices, disks
}

// Renew brings a document up to date for another start, and says whether it differs
// now: the program that "init: true" runs may be another engine's, disks may have other
// numbers since the machine was started, and an earlier engine left out what now
// differs from the shim's own.
func Renew(doc *specs.Spec, service string, s *spec.Service, init string) (changed bool, err error) {
	for i, m := range doc.Mounts {
		if m.Destination == "/dev/init" && m.Source != init {
			doc.Mounts[i].Source, changed = init, true
		}
	}
	if s.BlkioConfig != nil {
		named := *s
		named.Name = service
		disks, err := block(&named)
		if err != nil {
			return false, err
		}
		changed = changed || !reflect.DeepEqual(disks, doc.Linux.Resources.BlockIO)
		doc.Linux.Resources.BlockIO = disks
	}
	if score := proc.OOMScore(int(s.OOMScoreAdj)); score != nil && doc.Process.OOMScoreAdj == nil {
		doc.Process.OOMScoreAdj, changed = score, true
	}
	isCore := func(l specs.POSIXRlimit) bool { return l.Type == "RLIMIT_CORE" }
	if core := coreLimit(os.Getenv("ORLOP_CORE_LIMIT")); len(core) > 0 && !slices.ContainsFunc(doc.Process.Rlimits, isCore) {
		doc.Process.Rlimits, changed = append(doc.Process.Rlimits, core...), true
	}
	return changed, nil
}

// leastCPUs is the least share of a core that the kernel can give: a
// millisecond of its period of a tenth of a second.
const leastCPUs = 0.01

// Check refuses limits of a service that the kernel would, and more processors than
// there are, as Docker does.
func Check(service string, s *spec.Service) error {
	key := "cpus"
	if s.CPUs == 0 {
		key = "deploy.resources.limits.cpus"
	}
	has := cpuNumbers(processors())
	switch cpus := s.CPULimit(); {
	case cpus > 0 && cpus < leastCPUs:
		return &KeyError{Service: service, Key: key, Text: fmt.Sprintf("%g is too little: %g is the least", cpus, leastCPUs)}
	case len(has) > 0 && cpus > float64(len(has)):
		return &KeyError{Service: service, Key: key, Text: fmt.Sprintf("%g is too much: this machine has %s", cpus, spec.Plural(len(has), "processor"))}
	}
	for _, n := range cpuNumbers(s.CPUSet) {
		if !slices.Contains(has, n) {
			return &KeyError{Service: service, Key: "cpuset", Text: fmt.Sprintf("this machine has no processor %d: it has %s", n, processors())}
		}
	}
	return nil
}

// rlimits turns ulimits into limits of the process; what is above the
// engine's own hard limit, and may not be raised, is cut with a warning.
func rlimits(ulimits map[string]*spec.Ulimit) ([]specs.POSIXRlimit, []Warning, error) {
	var out []specs.POSIXRlimit
	var warnings []Warning
	for _, name := range slices.Sorted(maps.Keys(ulimits)) {
		u := ulimits[name]
		resource, ok := rlimitNumbers[name]
		if !ok {
			return nil, nil, fmt.Errorf("no ulimit named %q", name)
		}
		own := uint64(unix.RLIM_INFINITY)
		var rl unix.Rlimit
		if err := unix.Getrlimit(resource, &rl); err == nil && !mayRaiseLimits() {
			own = rl.Max
		}
		limit, cut := rlimit(name, u, own)
		out = append(out, limit)
		if cut != "" {
			warnings = append(warnings, Warning{"ulimits." + name, cut})
		}
	}
	if ulimits["core"] == nil {
		out = append(out, coreLimit(os.Getenv("ORLOP_CORE_LIMIT"))...)
	}
	return out, warnings, nil
}

// coreLimit is the limit on core dumps of a container whose service says none: the one
// that the engine was started with, before it gave up its own (keeper.CoreLimit).
func coreLimit(was string) []specs.POSIXRlimit {
	soft, err := strconv.ParseUint(was, 10, 64)
	var own unix.Rlimit
	if err != nil || unix.Getrlimit(unix.RLIMIT_CORE, &own) != nil || soft == own.Cur {
		return nil // it inherits it
	}
	return []specs.POSIXRlimit{{Type: "RLIMIT_CORE", Soft: min(soft, own.Max), Hard: own.Max}}
}

// rlimit is one limit, cut to what the engine may give, with a word about that.
func rlimit(name string, u *spec.Ulimit, most uint64) (limit specs.POSIXRlimit, cut string) {
	soft, hard := limitValue(u.Soft), limitValue(u.Hard)
	if u.Single != 0 {
		soft, hard = limitValue(u.Single), limitValue(u.Single)
	}
	if hard > most {
		cut = fmt.Sprintf("%s is above the %d that the engine may give, and is cut to it: raise the limit of whoever starts the engine", limitText(hard), most)
		hard, soft = most, min(soft, most)
	}
	return specs.POSIXRlimit{Type: "RLIMIT_" + strings.ToUpper(name), Soft: soft, Hard: hard}, cut
}

func limitText(v uint64) string {
	if v == unix.RLIM_INFINITY {
		return "unlimited"
	}
	return strconv.FormatUint(v, 10)
}

func limitValue(v int64) uint64 {
	if v < 0 {
		return unix.RLIM_INFINITY
	}
	return uint64(v)
}

var rlimitNumbers = map[string]int{
	"as": unix.RLIMIT_AS, "core": unix.RLIMIT_CORE, "cpu": unix.RLIMIT_CPU, "data": unix.RLIMIT_DATA,
	"fsize": unix.RLIMIT_FSIZE, "locks": unix.RLIMIT_LOCKS, "memlock": unix.RLIMIT_MEMLOCK,
	"msgqueue": unix.RLIMIT_MSGQUEUE, "nice": unix.RLIMIT_NICE, "nofile": unix.RLIMIT_NOFILE,
	"nproc": unix.RLIMIT_NPROC, "rss": unix.RLIMIT_RSS, "rtprio": unix.RLIMIT_RTPRIO,
	"rttime": unix.RLIMIT_RTTIME, "sigpending": unix.RLIMIT_SIGPENDING, "stack": unix.RLIMIT_STACK,
}
