package runner

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/containerd/cgroups/v3"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/runner/image"
	"github.com/orlop/orlop/spec"
)

// defaultCaps are the capabilities that Docker gives a container.
var defaultCaps = []string{
	"CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_MKNOD",
	"CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
}

// maskedPaths and readonlyPaths are Docker's, its later additions included
// (GHSA-6fw5-f8r9-fgfm, GHSA-jq35-85cj-fj4p).
var (
	maskedPaths = []string{
		"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
		"/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
		"/sys/devices/virtual/powercap", "/sys/firmware",
	}
	readonlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
)

// ociInput is all that decides about a container's OCI document.
type ociInput struct {
	service    *spec.Service
	args       []string
	env        []string
	cwd        string
	user       image.User
	hostname   string
	netns      string // path; empty: the host's
	mounts     []specs.Mount
	cgroupPath string
	terminal   bool
	init       string // path on the host of the init program, or ""
}

// warning is what a container gets otherwise than the service asks for.
type warning struct {
	key  string // of the service
	text string
}

// placed is the warning with its key and where the stack file has it.
func (w warning) placed(service string, places spec.Places) string {
	path, at := "services."+service+"."+w.key, ""
	if place := places.Nearest(path); place.Line > 0 {
		at = " (" + place.String() + ")"
	}
	return path + ": " + w.text + at
}

// document builds the OCI runtime document of a container (OCI Runtime
// Specification 1.3), with Docker's defaults where the service is silent.
func document(in ociInput) (*specs.Spec, []warning, error) {
	s := in.service
	caps, err := capabilities(s)
	if err != nil {
		return nil, nil, err
	}
	limits, warnings, err := rlimits(s.Ulimits)
	if err != nil {
		return nil, nil, err
	}
	args := in.args
	mounts := append(defaultMounts(s.Privileged), in.mounts...)
	if in.init != "" {
		mounts = append(mounts, specs.Mount{Destination: "/dev/init", Type: "bind", Source: in.init, Options: []string{"bind", "ro"}})
		args = append([]string{"/dev/init", "init", "--"}, args...)
	}
	doc := &specs.Spec{
		Version:  specs.Version,
		Hostname: in.hostname,
		Root:     &specs.Root{Path: "rootfs", Readonly: s.ReadOnly},
		Mounts:   mounts,
		Process: &specs.Process{
			Terminal: in.terminal, Args: args, Env: in.env, Cwd: in.cwd,
			User:         specs.User{UID: in.user.UID, GID: in.user.GID, AdditionalGids: in.user.Groups},
			Capabilities: &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps},
			Rlimits:      limits,
		},
		Linux: &specs.Linux{
			CgroupsPath: in.cgroupPath,
			Namespaces:  namespacesOf(in),
			Resources:   resources(s),
		},
	}
	if in.netns != "" {
		doc.Linux.Sysctl = map[string]string{
			"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647",
		}
	}
	if in.user.UID != 0 {
		doc.Process.Capabilities.Effective, doc.Process.Capabilities.Permitted = nil, nil
		if s.Privileged {
			doc.Process.Capabilities.Effective, doc.Process.Capabilities.Permitted = caps, caps
		}
	}
	if s.Privileged {
		return doc, warnings, privilege(doc)
	}
	doc.Linux.MaskedPaths = append(slices.Clone(maskedPaths), thermalPaths()...)
	doc.Linux.ReadonlyPaths = readonlyPaths
	doc.Linux.Seccomp, err = profile(doc, caps)
	return doc, warnings, err
}

// thermalPaths are the per-processor files that tell of the neighbours' load.
var thermalPaths = sync.OnceValue(func() []string {
	paths, _ := filepath.Glob("/sys/devices/system/cpu/cpu[0-9]*/thermal_throttle")
	return paths
})

// capabilities are the default ones with cap_add and cap_drop applied, ALL
// first (Compose Specification, cap_add and cap_drop).
func capabilities(s *spec.Service) ([]string, error) {
	all := allCaps()
	if s.Privileged {
		return all, nil
	}
	set := map[string]bool{}
	add, addAll, err := capNames(s.CapAdd, all)
	if err != nil {
		return nil, err
	}
	drop, dropAll, err := capNames(s.CapDrop, all)
	if err != nil {
		return nil, err
	}
	base := defaultCaps
	if dropAll {
		base = nil
	}
	if addAll {
		base = all
	}
	for _, c := range base {
		set[c] = true
	}
	for _, c := range drop {
		delete(set, c)
	}
	for _, c := range add {
		set[c] = true
	}
	var caps []string
	for _, c := range all {
		if set[c] {
			caps = append(caps, c)
		}
	}
	return caps, nil
}

func capNames(names, known []string) (list []string, all bool, err error) {
	for _, n := range names {
		n = strings.ToUpper(n)
		if n == "ALL" {
			all = true
			continue
		}
		if !strings.HasPrefix(n, "CAP_") {
			n = "CAP_" + n
		}
		if !slices.Contains(known, n) {
			return nil, false, fmt.Errorf("no capability named %s: see capabilities(7), or leave it out", n)
		}
		list = append(list, n)
	}
	return list, all, nil
}

// namespacesOf gives each container namespaces of its own; the network one is
// made beforehand, so that names and addresses outlive the process.
func namespacesOf(in ociInput) []specs.LinuxNamespace {
	list := []specs.LinuxNamespace{
		{Type: specs.MountNamespace}, {Type: specs.UTSNamespace}, {Type: specs.PIDNamespace}, {Type: specs.IPCNamespace},
	}
	if in.netns != "" {
		list = append(list, specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: in.netns})
	}
	if cgroups.Mode() == cgroups.Unified {
		list = append(list, specs.LinuxNamespace{Type: specs.CgroupNamespace})
	}
	return list
}

func defaultMounts(privileged bool) []specs.Mount {
	access := "ro"
	if privileged {
		access = "rw"
	}
	return []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", access}},
		{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{access, "nosuid", "noexec", "nodev"}},
	}
}

// pidsDefault bounds the processes of a container that sets no pids_limit.
const pidsDefault = 32768

// resources are the cgroup limits; they can be changed while it runs.
func resources(s *spec.Service) *specs.LinuxResources {
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

// rlimits turns ulimits into limits of the process; what is above the
// engine's own hard limit, and may not be raised, is cut with a warning.
func rlimits(ulimits map[string]*spec.Ulimit) ([]specs.POSIXRlimit, []warning, error) {
	var out []specs.POSIXRlimit
	var warnings []warning
	names := make([]string, 0, len(ulimits))
	for name := range ulimits {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
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
			warnings = append(warnings, warning{"ulimits." + name, cut})
		}
	}
	return out, warnings, nil
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

// imageEnv lays the service's environment over the image's.
func imageEnv(image []string, s *spec.Service, terminal bool, hostname string) []string {
	set := map[string]string{"HOSTNAME": hostname}
	if terminal {
		set["TERM"] = "xterm"
	}
	set["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	for _, kv := range image {
		if k, v, ok := strings.Cut(kv, "="); ok {
			set[k] = v
		}
	}
	for k, v := range s.Environment {
		if v == nil {
			delete(set, k)
			continue
		}
		set[k] = *v
	}
	env := make([]string, 0, len(set))
	for k, v := range set {
		env = append(env, k+"="+v)
	}
	slices.Sort(env)
	return env
}

// workdir is a clean absolute path, whatever an image says.
func workdir(service, image string) string {
	dir := service
	if dir == "" {
		dir = image
	}
	if dir == "" {
		return "/"
	}
	return path.Clean("/" + dir)
}

func itoa(n int) string { return strconv.Itoa(n) }
