// Package oci makes OCI runtime documents (OCI Runtime Specification 1.3) of
// services: process, namespaces, limits, capabilities, seccomp, with Docker's
// defaults where a service is silent. It reads the machine that it runs on, and
// changes nothing.
package oci

import (
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/containerd/cgroups/v3"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/runner/proc"
	"github.com/orlop/orlop/spec"
)

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

// Input is all that decides about a container's document.
type Input struct {
	Service    *spec.Service
	Image      *dockerspec.DockerOCIImageConfig // its environment and working directory count
	Args       []string                         // see Command
	User       specs.User
	Home       string
	Hostname   string
	Netns      string // path; empty: the host's
	Shm        string // the directory on the host that is /dev/shm; empty: its own
	Mounts     []specs.Mount
	CgroupPath string
	Terminal   bool
	Init       string // path on the host of the program that "init: true" runs first
	Users      string // path of the user namespace that owns Netns, for a service with an IDMap
}

// Document builds the document of a container. The warnings tell what it gets
// otherwise than asked for.
func Document(in Input) (*specs.Spec, []Warning, error) {
	s := in.Service
	caps, err := capabilities(s)
	if err != nil {
		return nil, nil, err
	}
	limits, warnings, err := rlimits(s.Ulimits)
	if err != nil {
		return nil, nil, err
	}
	resources := Resources(s)
	if resources.BlockIO, err = block(s); err != nil {
		return nil, nil, err
	}
	warnings = append(warnings, unable(s)...)
	args, mounts := in.program()
	score, warnings := oomScore(s, warnings)
	doc := &specs.Spec{
		Version: specs.Version,
		Root:    &specs.Root{Path: "rootfs", Readonly: s.ReadOnly},
		Mounts:  mounts,
		Process: &specs.Process{
			Terminal: in.Terminal, Args: args, Env: environment(in.Image.Env, s, in.Terminal, in.Hostname, in.Home), Cwd: workdir(s.WorkingDir, in.Image.WorkingDir),
			User:         in.User,
			Capabilities: &specs.LinuxCapabilities{Bounding: caps},
			Rlimits:      limits,
			OOMScoreAdj:  score,
		},
		Linux: &specs.Linux{
			CgroupsPath: in.CgroupPath,
			Namespaces:  namespacesOf(in),
			Resources:   resources,
		},
	}
	doc.Process.User.Umask = s.Umask
	if s.Security == spec.SecurityHardened {
		harden(doc)
	}
	if s.NetworkMode != "host" && s.UTS != spec.HostNamespace { // it has the host's name there
		doc.Hostname = in.Hostname
	}
	if s.UTS != spec.HostNamespace {
		doc.Domainname = s.Domainname
	}
	doc.Annotations = s.Annotations
	doc.Linux.Sysctl = sysctls(s, in.Netns != "")
	if err := mapUsers(doc, in); err != nil {
		return nil, nil, err
	}
	if in.User.UID == 0 || s.Privileged {
		doc.Process.Capabilities.Effective, doc.Process.Capabilities.Permitted = caps, caps
	}
	if s.Privileged {
		if err := privilege(doc); err != nil {
			return nil, nil, err
		}
	}
	if err := devices(doc, s); err != nil {
		return nil, nil, err
	}
	return doc, warnings, confine(doc, s, caps)
}

// sysctls are the kernel's parameters of a container's namespaces. Without a network
// of its own it has none of that.
func sysctls(s *spec.Service, ownNetwork bool) map[string]string {
	all := map[string]string{}
	if ownNetwork {
		all["net.ipv4.ip_unprivileged_port_start"], all["net.ipv4.ping_group_range"] = "0", "0 2147483647"
	}
	maps.Copy(all, s.Sysctls)
	if ids := s.IDMap(); ids != nil && ownNetwork && s.Sysctls["net.ipv4.ping_group_range"] == "" {
		all["net.ipv4.ping_group_range"] = "0 " + strconv.Itoa(ids.Size-1) // it has no other groups
	}
	if len(all) == 0 {
		return nil
	}
	return all
}

// oomScore is how willingly the kernel kills the process: not as the shim, which it is
// to spare.
func oomScore(s *spec.Service, warnings []Warning) (*int, []Warning) {
	score := proc.OOMScore(int(s.OOMScoreAdj))
	if score == nil && s.OOMScoreAdj != 0 {
		warnings = append(warnings, Warning{"oom_score_adj", "the engine may not spare a process more than itself (CAP_SYS_RESOURCE): it has the engine's"})
	}
	return score, warnings
}

// harden makes a container's root read-only, but for what programs expect to
// write to, and keeps it from gaining privileges by set-user-ID programs.
func harden(doc *specs.Spec) {
	doc.Process.NoNewPrivileges = true
	doc.Root.Readonly = true
	for _, dir := range []string{"/tmp", "/run", "/var/tmp"} {
		if !slices.ContainsFunc(doc.Mounts, func(m specs.Mount) bool { return path.Clean(m.Destination) == dir }) {
			mode := map[bool]string{true: "mode=755", false: "mode=1777"}[dir == "/run"]
			doc.Mounts = append(doc.Mounts, specs.Mount{
				Destination: dir, Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "nodev", mode},
			})
		}
	}
	// An outer mount must not cover an inner one.
	slices.SortStableFunc(doc.Mounts, func(a, b specs.Mount) int {
		return strings.Count(path.Clean(a.Destination), "/") - strings.Count(path.Clean(b.Destination), "/")
	})
}

// program is what the container runs, and what it has mounted, the program that
// "init: true" runs first included.
func (in *Input) program() (args []string, mounts []specs.Mount) {
	args, mounts = in.Args, append(shared(in.Service, in.Shm, defaultMounts(in.Service)), in.Mounts...)
	if in.Service.Init != nil && *in.Service.Init {
		mounts = append(mounts, specs.Mount{Destination: "/dev/init", Type: "bind", Source: in.Init, Options: []string{"bind", "ro"}})
		args = append([]string{"/dev/init", "init", "--"}, args...)
	}
	return args, mounts
}

// thermalPaths are the per-processor files that tell of the neighbours' load.
var thermalPaths = sync.OnceValue(func() []string {
	paths, _ := filepath.Glob("/sys/devices/system/cpu/cpu[0-9]*/thermal_throttle")
	return paths
})

// namespacesOf gives each container namespaces of its own; the network one is
// made beforehand, so that names and addresses outlive the process.
func namespacesOf(in Input) []specs.LinuxNamespace {
	s := in.Service
	list := []specs.LinuxNamespace{{Type: specs.MountNamespace}}
	for _, own := range []struct {
		kind specs.LinuxNamespaceType
		mode string
	}{{specs.UTSNamespace, s.UTS}, {specs.PIDNamespace, s.PID}, {specs.IPCNamespace, s.IPC}} {
		if own.mode != spec.HostNamespace {
			list = append(list, specs.LinuxNamespace{Type: own.kind})
		}
	}
	if in.Netns != "" {
		list = append(list, specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: in.Netns})
	}
	if s.Cgroup == "private" || s.Cgroup == "" && cgroups.Mode() == cgroups.Unified {
		list = append(list, specs.LinuxNamespace{Type: specs.CgroupNamespace})
	}
	return list
}

// shared are mounts with the host's own where a service shares its memory, and without
// any where it has none, or one that it lets others share. The queues are those of the namespace anyhow.
func shared(s *spec.Service, shm string, mounts []specs.Mount) []specs.Mount {
	for i := range mounts {
		switch m := &mounts[i]; {
		case m.Destination != "/dev/shm":
		case s.IPC == spec.HostNamespace:
			*m = shmOf("/dev/shm")
		case shm != "":
			*m = shmOf(shm)
		}
	}
	return slices.DeleteFunc(mounts, func(m specs.Mount) bool { return s.IPC == "none" && m.Destination == "/dev/shm" })
}

// Join gives a document the namespace at a path, of a kind as the kernel calls it: pid, ipc.
func Join(doc *specs.Spec, kind, path string) {
	of := map[string]specs.LinuxNamespaceType{"pid": specs.PIDNamespace, "ipc": specs.IPCNamespace}[kind]
	list := slices.DeleteFunc(doc.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == of })
	doc.Linux.Namespaces = append(list, specs.LinuxNamespace{Type: of, Path: path})
}

// ShareShm makes /dev/shm a directory of the host.
func ShareShm(doc *specs.Spec, source string) {
	for i := range doc.Mounts {
		if doc.Mounts[i].Destination == "/dev/shm" {
			doc.Mounts[i] = shmOf(source)
		}
	}
}

func shmOf(source string) specs.Mount {
	return specs.Mount{Destination: "/dev/shm", Type: "bind", Source: source, Options: []string{"rbind", "nosuid", "noexec", "nodev"}}
}

// ShmSize is the size of a container's /dev/shm, as the kernel takes it.
func ShmSize(s *spec.Service) string {
	if s.ShmSize > 0 {
		return strconv.FormatInt(int64(s.ShmSize), 10)
	}
	return "65536k"
}

func defaultMounts(s *spec.Service) []specs.Mount {
	access := "ro"
	if s.Privileged {
		access = "rw"
	}
	return []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=" + ShmSize(s)}},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", access}},
		{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{access, "nosuid", "noexec", "nodev"}},
	}
}
