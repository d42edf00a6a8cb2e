package container

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// document is a container as Docker's inspect prints it: its fields, as far as there is such a thing here,
// and Orlop's own at its end.
type document struct {
	ID              string `json:"Id"`
	Created         time.Time
	Path            string
	Args            []string
	State           state
	Image           string // digest
	LogPath         string
	Name            string
	RestartCount    int
	Driver          string
	Platform        string
	HostConfig      hostConfig
	Mounts          []mount
	Config          config
	NetworkSettings networkSettings
	// ImageManifestDescriptor tells which of several platforms' images it is.
	ImageManifestDescriptor *manifest `json:",omitempty"`
	Project                 string
	Service                 string   `json:",omitempty"`
	Replica                 int      `json:",omitempty"`
	Remarks                 []string `json:",omitempty"` // what it should have and has not
}

type manifest struct{ Platform platform }

type platform struct {
	Architecture, OS string
	Variant          string `json:",omitempty"`
}

type state struct {
	Status                      string
	Running, Paused, Restarting bool
	OOMKilled, Dead             bool
	Pid, ExitCode               int
	Error                       string
	StartedAt, FinishedAt       time.Time
	Health                      *healthState `json:",omitempty"`
}

type healthState struct {
	Status        string
	FailingStreak int
	Log           []probe
}

type probe struct {
	Start, End time.Time
	ExitCode   int
	Output     string
}

type hostConfig struct {
	Binds             []string
	NetworkMode       string
	PortBindings      map[string][]binding
	RestartPolicy     restartPolicy
	AutoRemove        bool
	CapAdd            []string
	CapDrop           []string
	DNS               []string `json:"Dns"`
	DNSOptions        []string `json:"DnsOptions"`
	DNSSearch         []string `json:"DnsSearch"`
	ExtraHosts        []string
	GroupAdd          []string
	IpcMode           string
	PidMode           string
	UTSMode           string
	UsernsMode        string
	CgroupnsMode      string
	Privileged        bool
	ReadonlyRootfs    bool
	SecurityOpt       []string
	Sysctls           map[string]string `json:",omitempty"`
	Tmpfs             map[string]string `json:",omitempty"`
	ShmSize           int64
	Runtime           string
	Init              *bool
	CPUShares         int64  `json:"CpuShares"`
	CPUPeriod         int64  `json:"CpuPeriod"`
	CPUQuota          int64  `json:"CpuQuota"`
	CPUSetCPUs        string `json:"CpusetCpus"`
	NanoCpus          int64
	Memory            int64
	MemoryReservation int64
	MemorySwap        int64
	PidsLimit         *int64
	OomScoreAdj       int64
	LogConfig         logConfig
}

type logConfig struct {
	Type   string
	Config map[string]string
}

type restartPolicy struct {
	Name              string
	MaximumRetryCount int
}

type binding struct{ HostIP, HostPort string }

// MarshalJSON writes the names as Docker does.
func (b binding) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]string{"HostIp": b.HostIP, "HostPort": b.HostPort})
}

type mount struct {
	Type        string
	Name        string `json:",omitempty"`
	Source      string
	Destination string
	Driver      string `json:",omitempty"`
	Mode        string
	RW          bool
	Propagation string
}

type config struct {
	Hostname     string
	Domainname   string
	User         string
	Tty          bool
	OpenStdin    bool
	Env          []string
	Cmd          []string
	Healthcheck  *healthcheck `json:",omitempty"`
	Image        string       // reference
	Volumes      map[string]struct{}
	WorkingDir   string
	Entrypoint   []string
	ExposedPorts map[string]struct{} `json:",omitempty"`
	Labels       map[string]string
	StopSignal   string
	StopTimeout  *int `json:",omitempty"` // seconds
}

type healthcheck struct {
	Test          []string
	Interval      time.Duration `json:",omitempty"`
	Timeout       time.Duration `json:",omitempty"`
	StartPeriod   time.Duration `json:",omitempty"`
	StartInterval time.Duration `json:",omitempty"`
	Retries       int           `json:",omitempty"`
}

type networkSettings struct {
	Ports    map[string][]binding
	Networks map[string]endpoint
}

type endpoint struct {
	IPAMConfig          *addresses
	Aliases             []string
	MacAddress          string
	Gateway             string
	IPAddress           string
	IPPrefixLen         int
	IPv6Gateway         string
	GlobalIPv6Address   string
	GlobalIPv6PrefixLen int
	DNSNames            []string
}

// addresses are those that were asked for.
type addresses struct {
	IPv4Address  string   `json:",omitempty"`
	IPv6Address  string   `json:",omitempty"`
	LinkLocalIPs []string `json:",omitempty"`
}

// runtimeSpec is what is read of a container's OCI document.
type runtimeSpec struct {
	Process struct {
		Env []string
		Cwd string
	}
	Hostname string
	Mounts   []struct{ Destination, Source string }
}

// imageConfig is what is read of its image's configuration.
type imageConfig struct {
	platform
	Config struct {
		User, StopSignal, WorkingDir string
		Entrypoint, Cmd              []string
		Volumes                      map[string]struct{}
		ExposedPorts                 map[string]struct{}
		Healthcheck                  *healthcheck
	}
}

func documentOf(m *member, d *api.ContainerDetails) (*document, error) {
	var oci runtimeSpec
	if err := json.Unmarshal(d.RuntimeSpec, &oci); err != nil {
		return nil, fmt.Errorf("cannot read what container %s is made from: %w", m.Name, err)
	}
	var img imageConfig
	if len(d.ImageConfig) > 0 {
		if err := json.Unmarshal(d.ImageConfig, &img); err != nil {
			return nil, fmt.Errorf("cannot read the image of container %s: %w", m.Name, err)
		}
	}
	s := &spec.Service{}
	applied := &planner.Applied{Service: s}
	if m.Applied != nil && m.Applied.Service != nil {
		applied, s = m.Applied, m.Applied.Service
	}
	doc := &document{
		ID: m.ID, Created: m.CreatedAt, State: stateOf(&m.Container), Image: applied.Image, LogPath: d.LogDir, Name: "/" + m.Name, RestartCount: m.Restarts,
		Driver: "overlayfs", Platform: "linux", HostConfig: hostConfigOf(m, s, d), Mounts: append(mountsOf(applied, d), filesOf(s, &oci)...), Config: configOf(m, s, d, &oci, &img),
		Project: m.project, Service: m.Service, Replica: m.Number, Remarks: m.Lost,
	}
	if img.Architecture != "" {
		doc.ImageManifestDescriptor = &manifest{img.platform}
	}
	if len(m.Command) > 0 {
		doc.Path, doc.Args = m.Command[0], m.Command[1:]
	}
	doc.NetworkSettings = networkSettings{Ports: portsOf(&m.Container), Networks: endpointsOf(m, applied, d)}
	return doc, nil
}

func stateOf(c *planner.Container) state {
	s := state{
		Status: display.StateWord(c), Running: isActive(c.State), Restarting: c.State == planner.Restarting, Paused: c.Paused,
		OOMKilled: c.OOMKilled, Pid: c.PID, ExitCode: c.ExitCode, Error: cmp.Or(c.Error, c.Dead), StartedAt: c.StartedAt, FinishedAt: c.ExitedAt,
	}
	if c.Health != planner.NoHealth {
		s.Health = &healthState{Status: string(c.Health), Log: []probe{}}
		if p := c.LastProbe; p != nil {
			s.Health.FailingStreak = p.Failing
			s.Health.Log = append(s.Health.Log, probe{Start: p.At, End: p.At.Add(p.Took), ExitCode: p.ExitCode, Output: p.Output})
		}
	}
	return s
}

func hostConfigOf(m *member, s *spec.Service, d *api.ContainerDetails) hostConfig {
	h := hostConfig{
		NetworkMode: cmp.Or(m.shared(s.NetworkMode), firstNetwork(m), "none"), PortBindings: map[string][]binding{}, RestartPolicy: restartOf(s), AutoRemove: d.AutoRemove,
		CapAdd: s.CapAdd, CapDrop: s.CapDrop, DNS: s.DNS, DNSOptions: s.DNSOpt, DNSSearch: s.DNSSearch, ExtraHosts: s.ExtraHosts, GroupAdd: s.GroupAdd,
		IpcMode: cmp.Or(m.shared(s.IPC), "private"), PidMode: m.shared(s.PID), UTSMode: s.UTS, UsernsMode: s.UsernsMode, CgroupnsMode: cmp.Or(s.Cgroup, "private"),
		Privileged: s.Privileged, ReadonlyRootfs: s.ReadOnly, SecurityOpt: s.SecurityOpt, Sysctls: s.Sysctls, ShmSize: int64(s.ShmSize), Runtime: cmp.Or(s.Runtime, "runc"), Init: s.Init,
		CPUShares: s.CPUShares, CPUPeriod: s.CPUPeriod, CPUQuota: s.CPUQuota, CPUSetCPUs: s.CPUSet, NanoCpus: int64(s.CPULimit() * 1e9),
		Memory: int64(s.MemoryLimit()), MemoryReservation: int64(s.MemoryReserved()), MemorySwap: int64(s.MemSwapLimit), OomScoreAdj: s.OOMScoreAdj,
		LogConfig: logConfig{Type: "local", Config: map[string]string{}},
	}
	if s.PidsLimit != 0 {
		h.PidsLimit = &s.PidsLimit
	}
	if s.Logging != nil && s.Logging.Driver != "" {
		h.LogConfig = logConfig{Type: s.Logging.Driver, Config: s.Logging.Options}
	}
	for _, v := range s.Volumes {
		if v.Type == spec.MountBind {
			h.Binds = append(h.Binds, v.Source+":"+v.Target+":"+accessOf(v.ReadOnly))
		}
	}
	for _, t := range s.Tmpfs {
		target, options, _ := strings.Cut(t, ":")
		if h.Tmpfs == nil {
			h.Tmpfs = map[string]string{}
		}
		h.Tmpfs[target] = options
	}
	for _, p := range s.Ports {
		key := fmt.Sprintf("%d/%s", p.Target, cmp.Or(p.Protocol, "tcp"))
		h.PortBindings[key] = append(h.PortBindings[key], binding{p.HostIP, p.Published})
	}
	return h
}

func accessOf(readOnly bool) string {
	if readOnly {
		return "ro"
	}
	return "rw"
}

func firstNetwork(m *member) string {
	if m.Applied == nil || len(m.Applied.Networks) == 0 {
		return ""
	}
	return slices.Min(slices.Collect(maps.Values(m.Applied.Networks)))
}

func restartOf(s *spec.Service) restartPolicy {
	terms := s.RestartTerms()
	p := restartPolicy{MaximumRetryCount: terms.Most}
	switch terms.Condition {
	case spec.RestartAny:
		p.Name = "always"
		if s.Restart == "unless-stopped" {
			p.Name = s.Restart
		}
	case spec.RestartOnFailure:
		p.Name = "on-failure"
	default:
		p.Name = "no"
	}
	return p
}

func mountsOf(applied *planner.Applied, d *api.ContainerDetails) []mount {
	list := []mount{}
	taken := map[string]bool{}
	for _, m := range applied.Mounts() {
		one := mount{Type: m.Type, Source: m.Source, Destination: m.Target, RW: !m.ReadOnly}
		if m.Type == spec.MountVolume {
			one.Name, one.Driver = cmp.Or(m.Volume, d.AnonymousVolumes[path.Clean(m.Target)], d.AnonymousVolumes[m.Target]), "local"
			one.Source, one.Mode = cmp.Or(d.VolumePaths[one.Name], applied.Backings[m.Source]), "z"
		}
		if m.Type == spec.MountBind {
			one.Propagation = "rprivate"
			if m.Bind != nil && m.Bind.Propagation != "" {
				one.Propagation = m.Bind.Propagation
			}
		}
		taken[path.Clean(m.Target)] = true
		list = append(list, one)
	}
	for _, target := range slices.Sorted(maps.Keys(d.AnonymousVolumes)) {
		if name := d.AnonymousVolumes[target]; !taken[path.Clean(target)] {
			list = append(list, mount{Type: spec.MountVolume, Name: name, Source: d.VolumePaths[name], Destination: target, Driver: "local", Mode: "z", RW: true})
		}
	}
	return list
}

// filesOf are the secrets and configs of a container, which are files that are mounted.
func filesOf(s *spec.Service, oci *runtimeSpec) (list []mount) {
	sources := map[string]string{}
	for _, m := range oci.Mounts {
		sources[path.Clean(m.Destination)] = m.Source
	}
	add := func(files []spec.FileMount, dir string) {
		for _, f := range files {
			target := path.Join(dir, f.Source)
			if f.Target != "" && path.IsAbs(f.Target) {
				target = path.Clean(f.Target)
			} else if f.Target != "" {
				target = path.Join(dir, f.Target)
			}
			if source, ok := sources[target]; ok {
				list = append(list, mount{Type: spec.MountBind, Source: source, Destination: target, Propagation: "rprivate"})
			}
		}
	}
	add(s.Configs, "/")
	add(s.Secrets, "/run/secrets")
	return list
}

func configOf(m *member, s *spec.Service, d *api.ContainerDetails, oci *runtimeSpec, img *imageConfig) config {
	c := config{
		Hostname: oci.Hostname, Domainname: s.Domainname, User: cmp.Or(s.User, img.Config.User), Tty: d.Terminal, OpenStdin: d.Stdin, Env: oci.Process.Env,
		Cmd: s.Command, Entrypoint: s.Entrypoint, Image: d.Image, Volumes: img.Config.Volumes, WorkingDir: oci.Process.Cwd, Labels: d.Labels,
		ExposedPorts: map[string]struct{}{}, StopSignal: cmp.Or(d.StopSignal, "SIGTERM"), Healthcheck: img.Config.Healthcheck,
	}
	if s.Entrypoint == nil {
		c.Entrypoint = img.Config.Entrypoint
		if s.Command == nil {
			c.Cmd = img.Config.Cmd
		}
	}
	if s.StopGrace != nil {
		seconds := int(time.Duration(*s.StopGrace).Seconds())
		c.StopTimeout = &seconds
	}
	if h := s.HealthCheck; h != nil {
		c.Healthcheck = &healthcheck{
			Test: h.Test, Interval: span(h.Interval), Timeout: span(h.Timeout), StartPeriod: span(h.StartPeriod), StartInterval: span(h.StartInterval),
		}
		if h.Retries != nil {
			c.Healthcheck.Retries = *h.Retries
		}
	}
	for _, p := range slices.Concat(m.Exposed, s.Expose) {
		if !strings.Contains(p, "/") {
			p += "/tcp"
		}
		c.ExposedPorts[p] = struct{}{}
	}
	for _, p := range s.Ports {
		c.ExposedPorts[fmt.Sprintf("%d/%s", p.Target, cmp.Or(p.Protocol, "tcp"))] = struct{}{}
	}
	return c
}

func span(d *spec.Duration) time.Duration {
	if d == nil {
		return 0
	}
	return time.Duration(*d)
}

func portsOf(c *planner.Container) map[string][]binding {
	ports := map[string][]binding{}
	for _, p := range c.Exposed {
		ports[p] = nil
	}
	for _, b := range display.SortedBindings(c) {
		key := fmt.Sprintf("%d/%s", b.Target, b.Protocol)
		ports[key] = append(ports[key], binding{cmp.Or(b.HostIP, "0.0.0.0"), strconv.Itoa(b.HostPort)})
	}
	return ports
}

func endpointsOf(m *member, applied *planner.Applied, d *api.ContainerDetails) map[string]endpoint {
	list := map[string]endpoint{}
	keys := map[string]string{}
	for key, name := range applied.Networks {
		keys[name] = key
	}
	for _, e := range d.Endpoints {
		one := endpoint{Gateway: e.Gateway, IPv6Gateway: e.Gateway6, Aliases: []string{m.Name, m.Service}}
		one.IPAddress, one.IPPrefixLen = prefix(e.Address)
		one.GlobalIPv6Address, one.GlobalIPv6PrefixLen = prefix(e.Address6)
		if n := applied.Service.Networks[keys[e.Network]]; n != nil {
			one.Aliases = append(one.Aliases, n.Aliases...)
			one.MacAddress = n.MacAddress
			if n.IPv4Address != "" || n.IPv6Address != "" || len(n.LinkLocalIPs) > 0 {
				one.IPAMConfig = &addresses{n.IPv4Address, n.IPv6Address, n.LinkLocalIPs}
			}
		}
		one.MacAddress = cmp.Or(one.MacAddress, applied.Service.MacAddress)
		one.DNSNames = append(slices.Clone(one.Aliases), m.ID[:12])
		list[e.Network] = one
	}
	return list
}

func prefix(text string) (address string, bits int) {
	address, length, _ := strings.Cut(text, "/")
	bits, _ = strconv.Atoi(length)
	return address, bits
}
