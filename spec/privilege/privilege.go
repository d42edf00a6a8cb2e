// Package privilege says what a stack asks of the machine beyond what every
// container gets: what is looked at before somebody else's stack is run, and
// what an engine's policy can forbid. It decides nothing about whether that is
// granted.
package privilege

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/orlop/orlop/spec"
)

// Kind is a kind of privilege, by the word that a policy has for it.
type Kind string

// Kinds of privileges.
const (
	Privileged   Kind = "privileged"     // all of the host's devices and capabilities
	Confinement  Kind = "security_opt"   // less confinement than the default
	OtherRuntime Kind = "runtime"        // a runtime that the engine's settings name, which confines as it likes
	Capability   Kind = "cap_add"        // more capabilities than the default ones
	HostDevice   Kind = "host_device"    // devices of the host
	HostSpace    Kind = "host_namespace" // processes, memory, name, control groups or users of the host
	HostNetwork  Kind = "host_network"   // the host's network namespace
	EngineSocket Kind = "engine_socket"  // the socket of an engine: whoever has it is root
	HostMount    Kind = "host_mount"     // a directory of the host outside of the project's
	HostProgram  Kind = "host_program"   // a program of the host that is run as the caller: a provider
	HostFile     Kind = "host_file"      // a file outside of the project's directory: a secret, config, env_file, label_file, context, what watch copies
	LogReceiver  Kind = "log_receiver"   // what a container prints is sent away, in the name of the host
	PublicPort   Kind = "public_port"    // a port on all addresses of the host
	NoHardening  Kind = "no_hardening"   // x-orlop-security: default in a stack or engine that is hardened
)

// Kinds are all kinds, the gravest first.
func Kinds() []Kind {
	return []Kind{Privileged, EngineSocket, HostNetwork, HostSpace, HostMount, HostProgram, HostDevice, Confinement, OtherRuntime, Capability, HostFile, LogReceiver, PublicPort, NoHardening}
}

// Request is one thing that a stack asks for.
type Request struct {
	Kind  Kind       `json:"kind"`
	Path  string     `json:"path"` // in the project: "services.web.volumes[0]"
	Value string     `json:"value"`
	Text  string     `json:"text"` // what it means
	Place spec.Place `json:"place"`

	Remote string `json:"remote,omitempty"` // the remote stack that asks for it; "" is the user's own
}

// Of lists what a project asks for, the gravest first. dir is its directory; own
// are the directories of the engine that is asked, where it has others than usual.
// What is outside of the directory is so by its name, or by where its links lead.
func Of(p *spec.Project, dir string, own ...string) []Request {
	return of(p, dir, own, follow(p))
}

func of(p *spec.Project, dir string, own []string, real func(path string) string) []Request {
	var all []Request
	within := bounds{dir, real, p}
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		path := "services." + name
		all = append(all, ofService(p, p.Services[name], path, within, own)...)
		for i, first := range p.Services[name].PreStart {
			all = append(all, ofInit(p, first, p.Services[name], fmt.Sprintf("%s.pre_start[%d]", path, i), within, own)...)
		}
		all = append(all, ofBuild(p.Services[name].Build, path+".build", within)...)
		all = append(all, ofWatch(p.Services[name].Develop, path+".develop", within)...)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Provided)) {
		all = append(all, ofService(p, p.Provided[name], "services."+name, within, own)...)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Jobs)) {
		all = append(all, ofService(p, p.Jobs[name], "jobs."+name, within, own)...)
		all = append(all, ofBuild(p.Jobs[name].Build, "jobs."+name+".build", within)...)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Models)) {
		all = append(all, Request{Kind: HostProgram, Path: "models." + name, Value: p.Models[name].Model, Text: "is run by docker-model, a program of the host, as who calls it"})
	}
	for _, name := range slices.Sorted(maps.Keys(p.Bases)) { // that are built, and don't run
		all = append(all, ofBuild(p.Bases[name].Build, "services."+name+".build", within)...)
	}
	for _, at := range slices.Sorted(maps.Keys(p.ReadFiles)) {
		if isRead(p, at) {
			all = append(all, ofFile(at, p.ReadFiles[at], within)...)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.Volumes)) {
		all = append(all, ofVolume(p.Volumes[name].Backing(), "volumes."+name+".driver_opts", within, own)...)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Secrets)) {
		all = append(all, ofFile("secrets."+name+".file", p.Secrets[name].File, within)...)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Configs)) {
		all = append(all, ofFile("configs."+name+".file", p.Configs[name].File, within)...)
	}
	for i := range all {
		all[i].Place = p.Places.Nearest(all[i].Path)
		if r := remoteOf(p, all[i].Path); r != nil {
			all[i].Remote = r.Name
		}
	}
	slices.SortStableFunc(all, func(a, b Request) int {
		return cmp.Compare(slices.Index(Kinds(), a.Kind), slices.Index(Kinds(), b.Kind))
	})
	return all
}

// ofInit lists what an init container asks for that its service does not.
func ofInit(p *spec.Project, first, s *spec.Service, path string, within bounds, own []string) []Request {
	have := ofService(p, s, path, within, own)
	return slices.DeleteFunc(ofService(p, first, path, within, own), func(r Request) bool {
		return slices.ContainsFunc(have, func(h Request) bool { return h.Kind == r.Kind && h.Value == r.Value && h.Text == r.Text })
	})
}

// isRead says that a file which is named at a path is read: that of the whole project, and
// that of a service which is there.
func isRead(p *spec.Project, at string) bool {
	rest, ok := strings.CutPrefix(at, "services.")
	if !ok {
		// An include of a remote stack reads files of remote stacks alone, see spec/fetched.
		return !slices.ContainsFunc(p.Remotes, func(r *spec.Remote) bool { return strings.HasPrefix(at, "in "+r.Name+": ") })
	}
	for _, key := range []string{".env_file[", ".label_file["} {
		name, _, _ := strings.Cut(rest[:max(strings.LastIndex(rest, key), 0)], ".pre_start[")
		if p.Services[name] != nil {
			return true
		}
	}
	return false
}

func ofService(project *spec.Project, s *spec.Service, path string, within bounds, own []string) []Request {
	var all []Request
	add := func(kind Kind, key, value, text string) {
		all = append(all, Request{Kind: kind, Path: path + "." + key, Value: value, Text: text})
	}
	if s.Privileged {
		add(Privileged, "privileged", "true", "has all devices and capabilities of the host: it can do what root can")
	}
	for i, h := range slices.Concat(s.PostStart, s.PreStop) {
		key := fmt.Sprintf("post_start[%d]", i)
		if i >= len(s.PostStart) {
			key = fmt.Sprintf("pre_stop[%d]", i-len(s.PostStart))
		}
		if h.Privileged {
			add(Privileged, key+".privileged", "true", "runs a command with all capabilities of the host")
		}
	}
	for i, opt := range s.SecurityOpt {
		name, value := spec.CutSecurityOpt(opt)
		isLoose := value == spec.Unconfined || name == spec.OptSeccomp && value != spec.SeccompBuiltin ||
			name == spec.OptAppArmor || name == spec.OptWritableCgroups && *s.Confinement().WritableCgroups
		if isLoose {
			add(Confinement, fmt.Sprintf("security_opt[%d]", i), opt, "is confined in another way than by default")
		}
	}
	if s.Provider != nil {
		add(HostProgram, "provider.type", s.Provider.Type, "is provided by a program of the host, which runs as who calls it")
	}
	if name := s.OtherRuntime(); name != "" {
		add(OtherRuntime, "runtime", name, "is run by a program of the engine's settings, which may confine it in another way")
	}
	for i, d := range s.Devices {
		add(HostDevice, fmt.Sprintf("devices[%d]", i), d.Source, "uses a device of the host")
	}
	for i, rule := range s.DeviceRules {
		add(HostDevice, fmt.Sprintf("device_cgroup_rules[%d]", i), rule, "may use devices of the host by their numbers")
	}
	asked := s.DeviceRequests()
	for _, key := range slices.Sorted(maps.Keys(asked)) {
		for i, r := range asked[key] {
			add(HostDevice, fmt.Sprintf("%s[%d]", key, i), strings.Join(append([]string{r.Driver}, r.Capabilities...), " "), "uses devices of the host")
		}
	}
	for i, c := range s.CapAdd {
		add(Capability, fmt.Sprintf("cap_add[%d]", i), c, "has a capability beyond the default ones")
	}
	for _, key := range slices.Sorted(maps.Keys(s.Networks)) {
		if n := project.Networks[key]; n != nil && n.Outside() != "" {
			add(HostNetwork, "networks."+key, n.Options().Parent, "is on the network that a link of the host leads to, past its firewall")
		}
	}
	if s.NetworkMode == "host" {
		add(HostNetwork, "network_mode", "host", "sees and uses all networks of the host, loopback too")
	}
	for _, shared := range []struct{ key, mode, text string }{
		{"pid", s.PID, "sees all processes of the host and of other containers, and signals those of its user"},
		{"ipc", s.IPC, "has the shared memory and the queues of the host"},
		{"uts", s.UTS, "has the name of the host"},
		{"cgroup", s.Cgroup, "sees all control groups of the host"},
		{"userns_mode", s.UsernsMode, "has the users of the host, where the engine gives containers others (userns_remap)"},
	} {
		if shared.mode == spec.HostNamespace {
			add(HostSpace, shared.key, shared.mode, shared.text)
		}
	}
	for _, share := range s.Shares() {
		switch {
		case share.Container == "":
		case share.Key == "network_mode":
			add(HostNetwork, share.Key, "container:"+share.Container, "has the network of a container of another stack, and of the host where that has it")
		default:
			add(HostSpace, share.Key, "container:"+share.Container, "has the "+share.What()+" of a container of another stack, and of the host where that has it")
		}
	}
	if s.CgroupParent != "" {
		add(HostSpace, "cgroup_parent", s.CgroupParent, "is below a control group that is not the engine's")
	}
	if s.PID == spec.HostNamespace { // by /proc/PID/root
		add(HostMount, "pid", s.PID, "reads and writes the files of its user's processes, those of other containers too")
	}
	if l := s.Logging; l.IsRemote() {
		add(LogReceiver, "logging", l.Receiver(), "has what it prints sent there by the engine, from the host's network")
		for _, name := range []string{"syslog-tls-ca-cert", "syslog-tls-cert", "syslog-tls-key"} {
			all = append(all, ofFile(path+".logging.options."+name, l.Option(name), within)...)
		}
	}
	if s.Security == spec.SecurityDefault {
		add(NoHardening, "x-orlop-security", s.Security, "opts out of the hardened profile")
	}
	for i, from := range s.Sources() {
		if from.Container != "" {
			add(HostMount, fmt.Sprintf("volumes_from[%d]", i), from.Container, "has what a container outside of the stack mounts, paths of the host too")
		}
	}
	for i, m := range s.Mounts() {
		if m.Type != spec.MountBind {
			continue
		}
		key := fmt.Sprintf("volumes[%d]", i)
		if i >= len(s.Volumes) {
			key = "volumes_from"
		}
		if hasEngine(m.Source, own) {
			add(EngineSocket, key, m.Source, "has the socket of an engine: it can do what root can")
		}
		if !within.has(path+"."+key, m.Source) {
			add(HostMount, key, m.Source, accessOf(m)+" a path of "+within.beyond(path+"."+key, m.Source))
		}
	}
	for i, p := range s.Ports {
		if s.NetworkMode == "host" || s.NetworkMode == "none" {
			break // they are not published
		}
		if isPublic(cmp.Or(p.HostIP, project.HostBinding(s))) {
			value := cmp.Or(p.Published, fmt.Sprintf("any:%d", p.Target)) + "/" + cmp.Or(p.Protocol, "tcp")
			add(PublicPort, fmt.Sprintf("ports[%d]", i), value, "is reached on all addresses of the host")
		}
	}
	return all
}

// ofVolume lists what of the host, or by its name, is mounted as a volume.
func ofVolume(b spec.Backing, path string, within bounds, own []string) []Request {
	var all []Request
	isPath := b.IsBind() || strings.HasPrefix(b.Device, "/") && b.IsKept()
	if b.IsBind() && hasEngine(b.Device, own) {
		all = append(all, Request{Kind: EngineSocket, Path: path, Value: b.Device, Text: "has the socket of an engine: it can do what root can"})
	}
	switch {
	case isPath && !within.has(path, b.Device):
		all = append(all, Request{Kind: HostMount, Path: path, Value: b.Device, Text: "mounts a path of " + within.beyond(path, b.Device)})
	case b.IsKept() && !isPath:
		all = append(all, Request{Kind: HostMount, Path: path, Value: b.Device, Text: "mounts a file system (" + b.Type + ") in the name of the host"})
	}
	return all
}

// isPublic says that an address, in whatever spelling, stands for all.
func isPublic(host string) bool {
	if host == "" {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.Unmap().IsUnspecified()
}

func accessOf(m spec.Mount) string {
	if m.ReadOnly {
		return "reads"
	}
	return "reads and writes"
}

func ofFile(path, file string, within bounds) []Request {
	if file == "" || within.has(path, file) {
		return nil
	}
	return []Request{{Kind: HostFile, Path: path, Value: file, Text: "reads a file of " + within.beyond(path, file)}}
}

// ofFetching are the contexts that are fetched over ssh: the agent is lent for the whole
// build, and a step of what was fetched may ask for it.
func ofFetching(b *spec.Build, path string) []Request {
	var all []Request
	add := func(key, from string) {
		if spec.IsGitOverSSH(from) {
			all = append(all, Request{Kind: HostFile, Path: path + "." + key, Value: from, Text: "is fetched with the caller's ssh agent, which steps of its build can use"})
		}
	}
	add("context", b.Context)
	for _, name := range slices.Sorted(maps.Keys(b.AdditionalContexts)) {
		add("additional_contexts."+name, b.AdditionalContexts[name])
	}
	return all
}

// ofBuild lists what a build reads outside of the project's directory: a stack of somebody
// else could put the caller's home into an image.
func ofBuild(b *spec.Build, path string, within bounds) []Request {
	if b == nil {
		return nil
	}
	var all []Request
	add := func(key, file string) {
		if filepath.IsAbs(file) {
			all = append(all, ofFile(path+"."+key, file, within)...)
		}
	}
	add("context", b.Context)
	dockerfile := b.Dockerfile
	if filepath.IsAbs(b.Context) && !filepath.IsAbs(dockerfile) {
		dockerfile = filepath.Join(b.Context, dockerfile)
	}
	if !within.inDir(b.Context, dockerfile) {
		add("dockerfile", dockerfile)
	}
	for _, name := range slices.Sorted(maps.Keys(b.AdditionalContexts)) {
		add("additional_contexts."+name, b.AdditionalContexts[name])
	}
	all = append(all, ofCaches(b, path, within)...)
	for _, id := range slices.Sorted(maps.Keys(b.SSH)) {
		at, key := path+".ssh."+id, b.SSH[id]
		if key == nil {
			all = append(all, Request{Kind: HostFile, Path: at, Value: id, Text: "lends the steps of its build the caller's ssh agent"})
		} else {
			all = append(all, ofFile(at, *key, within)...)
		}
	}
	all = append(all, ofFetching(b, path)...)
	return append(all, ofSteps(b, path)...)
}

// ofCaches lists the directories outside of the project's that the engine reads and
// writes build caches in.
func ofCaches(b *spec.Build, path string, within bounds) []Request {
	var all []Request
	for _, list := range []struct {
		key, text string
		values    []string
		to        bool
	}{
		{"cache_from", "reads a directory of the host outside of the project's", b.CacheFrom, false},
		{"cache_to", "writes to a directory of the host outside of the project's", b.CacheTo, true},
	} {
		for i, value := range list.values {
			kind, attrs, _ := spec.CutCache(value)
			dir := attrs[spec.CachePlace(kind, list.to)]
			if !filepath.IsAbs(dir) {
				dir = filepath.Join(within.dir, dir)
			}
			if kind == spec.CacheLocal && !within.has(fmt.Sprintf("%s.%s[%d]", path, list.key, i), dir) {
				all = append(all, Request{Kind: HostFile, Path: fmt.Sprintf("%s.%s[%d]", path, list.key, i), Value: value, Text: list.text})
			}
		}
	}
	return all
}

// ofSteps lists what the steps of a build are granted.
func ofSteps(b *spec.Build, path string) []Request {
	var all []Request
	grant := func(key, value, entitlement string) {
		switch entitlement {
		case spec.EntitledInsecure:
			all = append(all, Request{Kind: Privileged, Path: path + "." + key, Value: value, Text: "lets steps of its build have all devices and capabilities of the host"})
		case spec.EntitledNetwork:
			all = append(all, Request{Kind: HostNetwork, Path: path + "." + key, Value: value, Text: "lets steps of its build see and use all networks of the host, loopback too"})
		}
	}
	for i, name := range b.Entitlements {
		grant(fmt.Sprintf("entitlements[%d]", i), name, name)
	}
	if b.Privileged {
		grant("privileged", "true", spec.EntitledInsecure)
	}
	if b.Network == spec.BuildNetworkHost {
		grant("network", b.Network, spec.EntitledNetwork)
	}
	return all
}

// ofWatch lists what watch copies into a container from outside of the project's
// directory.
func ofWatch(d *spec.Develop, path string, within bounds) []Request {
	if d == nil {
		return nil
	}
	var all []Request
	for i, rule := range d.Watch {
		if rule.Target != "" {
			all = append(all, ofFile(fmt.Sprintf("%s.watch[%d].path", path, i), rule.Path, within)...)
		}
	}
	return all
}

// sockets are the names that sockets of engines have, wherever they are.
var sockets = []string{"docker.sock", "podman.sock", "containerd.sock", "crio.sock", "buildkitd.sock", "orlop.sock"}

// engines are patterns of the directories that have sockets of engines.
var engines = []string{
	"/run/orlop", "/var/lib/orlop", "/run/docker", "/run/docker.sock", "/run/containerd", "/run/podman", "/run/buildkit", "/run/crio",
	"/run/user/*/podman", "/run/user/*/docker.sock", "/run/user/*/buildkit", "/run/user/*/containerd",
}

// hasEngine says that whoever has a path has the socket of an engine: it is one,
// or above or below a directory that has one, by its name or by where links lead.
func hasEngine(path string, own []string) bool {
	dirs := slices.Clone(engines)
	for _, dir := range own {
		dirs = append(dirs, literal.Replace(filepath.Clean(dir)), literal.Replace(resolve(dir)))
	}
	for _, p := range []string{filepath.Clean(path), resolve(path)} {
		if isBelow(p, "/var/run") {
			p = strings.TrimPrefix(p, "/var")
		}
		if slices.Contains(sockets, filepath.Base(p)) || isOfProcess(p) || slices.ContainsFunc(dirs, func(dir string) bool { return isOneWay(p, dir) }) {
			return true
		}
	}
	return false
}

// isOfProcess says that a path goes through what a process of the host has: all
// of the host, whatever is written after it.
func isOfProcess(path string) bool {
	return isBelow(path, "/proc") && slices.ContainsFunc(strings.Split(path, "/"), func(name string) bool {
		return name == "root" || name == "cwd" || name == "fd"
	})
}

// literal makes a pattern of a name that stands for itself.
var literal = strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`)

// isOneWay says that a path is above or below what a pattern names, or is it.
func isOneWay(path, pattern string) bool {
	names := strings.Split(strings.Trim(path, "/"), "/")
	for i, want := range strings.Split(strings.Trim(pattern, "/"), "/") {
		if i >= len(names) || names[i] == "" {
			return true
		}
		if ok, err := filepath.Match(want, names[i]); err != nil || !ok {
			return false
		}
	}
	return true
}

// Forbidden is what a policy forbids of a project.
type Forbidden struct {
	Requests []Request
	Policy   string // the file that says so
}

// Error names each with its place, and what to do.
func (f *Forbidden) Error() string {
	var lines []string
	for _, r := range f.Requests {
		at := ""
		if r.Place.File != "" {
			at = fmt.Sprintf("%s:%d:%d: ", r.Place.File, r.Place.Line, r.Place.Column)
		}
		lines = append(lines, fmt.Sprintf("%s%s: %s is forbidden on this engine (%s): it %s", at, r.Path, r.Value, r.Kind, r.Text))
	}
	what := "this"
	if len(f.Requests) > 1 {
		what = "these"
	}
	lines = append(lines, fmt.Sprintf("take %s away, or ask who runs the engine to change policy.forbid in %s", what, f.Policy))
	return strings.Join(lines, "\n")
}

// Check refuses what of a project is of a forbidden kind; the error is a
// *Forbidden. own is as for Of.
func Check(p *spec.Project, dir string, forbid []Kind, policy string, own ...string) error {
	found := slices.DeleteFunc(Of(p, dir, own...), func(r Request) bool { return !slices.Contains(forbid, r.Kind) })
	if len(found) == 0 {
		return nil
	}
	return &Forbidden{Requests: found, Policy: policy}
}

// Harden gives every service that says nothing about it the hardened profile.
// One that is privileged can't have it, and is left to the policy.
func Harden(p *spec.Project) {
	for _, s := range p.Services {
		isMighty := s.Privileged || slices.ContainsFunc(s.PreStart, func(first *spec.Service) bool { return first.Privileged })
		if s.Security == "" && !isMighty {
			s.Security = spec.SecurityHardened
		}
	}
}
