package oci

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/spec"
)

// pidsDefault bounds the processes of a container that sets no pids_limit.
const pidsDefault = 32768

// Resources are the cgroup limits of a service.
func Resources(s *spec.Service) *specs.LinuxResources {
	res := &specs.LinuxResources{Devices: deviceRules()}
	if s.MemLimit > 0 {
		limit := int64(s.MemLimit)
		res.Memory = &specs.LinuxMemory{Limit: &limit}
	}
	if s.CPUs > 0 {
		period := uint64(100_000)
		quota := int64(s.CPUs * float64(period))
		res.CPU = &specs.LinuxCPU{Period: &period, Quota: &quota}
	}
	pids := int64(pidsDefault)
	if s.PidsLimit > 0 {
		pids = s.PidsLimit
	} else if s.PidsLimit < 0 {
		pids = -1
	}
	res.Pids = &specs.LinuxPids{Limit: &pids}
	return res
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

// Limits are the limits of a service as they are set for a container that runs:
// what has none is unlimited from then on.
func Limits(s *spec.Service) *specs.LinuxResources {
	res := Resources(s)
	res.Devices = nil
	if res.Memory == nil {
		unlimited := int64(-1)
		res.Memory = &specs.LinuxMemory{Limit: &unlimited}
	}
	if res.CPU == nil {
		period, quota := uint64(100_000), int64(-1)
		res.CPU = &specs.LinuxCPU{Period: &period, Quota: &quota}
	}
	return res
}

// SetLimits puts the limits of a service into a container's document, for its next
// start. What it may do with devices stays.
func SetLimits(doc *specs.Spec, s *spec.Service) {
	devices := doc.Linux.Resources.Devices
	doc.Linux.Resources = Resources(s)
	doc.Linux.Resources.Devices = devices
}

// leastCPUs is the least share of a core that the kernel can give: a
// millisecond of its period of a tenth of a second.
const leastCPUs = 0.01

// Check refuses limits of a service that the kernel would.
func Check(service string, s *spec.Service) error {
	if s.CPUs > 0 && s.CPUs < leastCPUs {
		return &KeyError{Service: service, Key: "cpus", Text: fmt.Sprintf("%g is too little: %g is the least", s.CPUs, leastCPUs)}
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
