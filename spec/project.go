// Package spec has the types of a project, which is a stack (Compose Specification)
// in its one canonical form, and the diagnostics about it, each with its place.
// It decides nothing about what exists or runs, and reads no file but to show the
// line of a diagnostic: stackfile reads stack files, by the table of keys in schema.
package spec

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Project is the resolved stack in canonical form. Its JSON is the document
// that the command sends to the engine and that the engine keeps as applied;
// the keys are those of the Compose Specification.
type Project struct {
	Name       string              `json:"name"`
	Instance   string              `json:"instance,omitempty"`   // which copy of the stack it is; "" is the stack itself
	Underscore bool                `json:"underscore,omitempty"` // names of containers and built images have the parts "_" between them, as those of Compose's first version
	Services   map[string]*Service `json:"services"`
	Bases      map[string]*Service `json:"bases,omitempty"` // services that are not active and whose images others are built from
	Jobs       map[string]*Service `json:"jobs,omitempty"`  // those that are not run: one that is, is among the services
	Networks   map[string]*Network `json:"networks,omitempty"`
	Volumes    map[string]*Volume  `json:"volumes,omitempty"`
	Secrets    map[string]*Secret  `json:"secrets,omitempty"`
	Configs    map[string]*Config  `json:"configs,omitempty"`
	Models     map[string]*Model   `json:"models,omitempty"`
	Provided   map[string]*Service `json:"provided,omitempty"` // services that programs provide, see SetProvidedAside
	Extensions map[string]any      `json:"-"`                  // x- keys of the top level
	WorkingDir string              `json:"-"`                  // absolute directory of the project
	Files      []string            `json:"-"`                  // absolute paths of the stack files, in merge order
	Disabled   map[string]*Service `json:"-"`                  // services whose profiles are not active
	Variables  map[string]string   `json:"-"`                  // the caller's environment over the environment files
	Places     Places              `json:"-"`                  // where each value stands in the files
	ReadFiles  map[string]string   `json:"-"`                  // absolute paths of environment and label files, by where they are named: "services.web.env_file[0]"; ".env" of the project's own
	Real       map[string]string   `json:"-"`                  // where links lead, by the absolute path that is named; what is not there is no link, or was not looked at
	Remotes    []*Remote           `json:"-"`                  // that the stack was read from, in the order that they are named
	Payloads   map[string]Payload  `json:"-"`                  // contents of secrets and configs, by "secrets.NAME" or "configs.NAME"
}

// Payload is the content of a secret or config. It is sent beside the
// project, never inside it.
type Payload struct {
	Content []byte
	Secret  bool
}

// Place is a position in a stack file; Line and Column count from 1.
// The zero Place means that no file says it.
type Place struct {
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
}

// Service is what one service declares (Compose Specification, "services").
type Service struct {
	Name           string                     `json:"-"`
	Annotations    map[string]string          `json:"annotations,omitempty"` // of the OCI runtime
	BlkioConfig    *BlkioConfig               `json:"blkio_config,omitempty"`
	Build          *Build                     `json:"build,omitempty"`
	CapAdd         []string                   `json:"cap_add,omitempty"`
	CapDrop        []string                   `json:"cap_drop,omitempty"`
	Cgroup         string                     `json:"cgroup,omitempty"`        // "", host, private
	CgroupParent   string                     `json:"cgroup_parent,omitempty"` // below the root of the control groups
	Command        Command                    `json:"command"`                 // nil: the image's own; empty: none
	Configs        []FileMount                `json:"configs,omitempty"`
	ContainerName  string                     `json:"container_name,omitempty"`
	CPUPeriod      int64                      `json:"cpu_period,omitempty"`     // microseconds
	CPUQuota       int64                      `json:"cpu_quota,omitempty"`      // microseconds of each period; -1: no limit
	CPURTPeriod    int64                      `json:"cpu_rt_period,omitempty"`  // microseconds
	CPURTRuntime   int64                      `json:"cpu_rt_runtime,omitempty"` // microseconds
	CPUShares      int64                      `json:"cpu_shares,omitempty"`     // of 1024
	CPUs           float64                    `json:"cpus,omitempty"`           // cores
	CPUSet         string                     `json:"cpuset,omitempty"`         // "0-2,5"
	DependsOn      map[string]Dependency      `json:"depends_on,omitempty"`
	Deploy         *Deploy                    `json:"deploy,omitempty"`
	Devices        []Device                   `json:"devices,omitempty"`
	DeviceRules    []string                   `json:"device_cgroup_rules,omitempty"` // see DeviceRule
	Develop        *Develop                   `json:"develop,omitempty"`
	DNS            []string                   `json:"dns,omitempty"` // IP addresses
	DNSOpt         []string                   `json:"dns_opt,omitempty"`
	DNSSearch      []string                   `json:"dns_search,omitempty"`
	Domainname     string                     `json:"domainname,omitempty"`
	Entrypoint     Command                    `json:"entrypoint"` // nil: the image's own; empty: none
	Environment    map[string]*string         `json:"environment,omitempty"`
	Expose         []string                   `json:"expose,omitempty"`
	GPUs           []DeviceRequest            `json:"gpus,omitempty"`
	ExternalLinks  []string                   `json:"external_links,omitempty"` // "CONTAINER" or "CONTAINER:ALIAS"
	ExtraHosts     []string                   `json:"extra_hosts,omitempty"`    // "name=address"
	GroupAdd       []string                   `json:"group_add,omitempty"`      // names or numbers
	HealthCheck    *HealthCheck               `json:"healthcheck,omitempty"`
	Hostname       string                     `json:"hostname,omitempty"`
	Image          string                     `json:"image,omitempty"`
	Init           *bool                      `json:"init,omitempty"`
	IPC            string                     `json:"ipc,omitempty"` // "", private, shareable, host, none, service:NAME, container:NAME
	Labels         map[string]string          `json:"labels,omitempty"`
	Links          []string                   `json:"links,omitempty"` // "SERVICE" or "SERVICE:ALIAS"
	Logging        *Logging                   `json:"logging,omitempty"`
	MacAddress     string                     `json:"mac_address,omitempty"`
	MemLimit       Bytes                      `json:"mem_limit,omitempty"`
	MemReservation Bytes                      `json:"mem_reservation,omitempty"`
	MemSwappiness  *Bytes                     `json:"mem_swappiness,omitempty"` // 0 to 100
	MemSwapLimit   Bytes                      `json:"memswap_limit,omitempty"`  // memory and swap; -1: no limit
	Models         map[string]*ServiceModel   `json:"models,omitempty"`
	NetworkMode    string                     `json:"network_mode,omitempty"` // "", none, host, service:NAME, container:NAME
	Networks       map[string]*ServiceNetwork `json:"networks,omitempty"`
	OOMKillDisable bool                       `json:"oom_kill_disable,omitempty"`
	OOMScoreAdj    int64                      `json:"oom_score_adj,omitempty"`
	PID            string                     `json:"pid,omitempty"` // "", host, service:NAME, container:NAME
	PostStart      []Hook                     `json:"post_start,omitempty"`
	PreStart       []*Service                 `json:"pre_start,omitempty"`   // containers that run to completion first
	PerReplica     bool                       `json:"per_replica,omitempty"` // of one of PreStart: once for each replica
	PreStop        []Hook                     `json:"pre_stop,omitempty"`
	PidsLimit      int64                      `json:"pids_limit,omitempty"`
	Platform       string                     `json:"platform,omitempty"` // "linux/arm64"; "" is the machine's own
	Ports          []Port                     `json:"ports,omitempty"`
	Privileged     bool                       `json:"privileged,omitempty"`
	Profiles       []string                   `json:"profiles,omitempty"`
	Provider       *Provider                  `json:"provider,omitempty"`
	PullPolicy     string                     `json:"pull_policy,omitempty"` // "", always, missing, never, build
	ReadOnly       bool                       `json:"read_only,omitempty"`
	Restart        string                     `json:"restart,omitempty"` // "", no, always, on-failure[:N], unless-stopped
	Scale          *int                       `json:"scale,omitempty"`
	Secrets        []FileMount                `json:"secrets,omitempty"`
	SecurityOpt    []string                   `json:"security_opt,omitempty"`
	// SeccompProfile is the content of the file that SecurityOpt names.
	SeccompProfile string             `json:"seccomp_profile,omitempty"`
	ShmSize        Bytes              `json:"shm_size,omitempty"` // of /dev/shm
	StdinOpen      bool               `json:"stdin_open,omitempty"`
	StopGrace      *Duration          `json:"stop_grace_period,omitempty"`
	StopSignal     string             `json:"stop_signal,omitempty"`
	Sysctls        map[string]string  `json:"sysctls,omitempty"`
	Tmpfs          []string           `json:"tmpfs,omitempty"`
	Triggers       *Triggers          `json:"triggers,omitempty"` // of a job alone
	Tty            bool               `json:"tty,omitempty"`
	Ulimits        map[string]*Ulimit `json:"ulimits,omitempty"`
	User           string             `json:"user,omitempty"`
	Runtime        string             `json:"runtime,omitempty"`     // one of the engine's settings, see OtherRuntime
	UsernsMode     string             `json:"userns_mode,omitempty"` // "", host; the engine writes its own, see IDMap
	UTS            string             `json:"uts,omitempty"`         // "", host
	Volumes        []Mount            `json:"volumes,omitempty"`
	VolumesFrom    []string           `json:"volumes_from,omitempty"` // SERVICE[:MODE] or container:NAME[:MODE]
	// Inherited is what VolumesFrom brings of other services.
	Inherited []Mount `json:"inherited_volumes,omitempty"`
	// Attach is false where an up in the foreground does not show its output.
	Attach *bool `json:"attach,omitempty"`
	// PullRefreshAfter is a duration, of PullPolicy refresh.
	PullRefreshAfter string `json:"pull_refresh_after,omitempty"`
	// ProvidedEnvironment are the variables of Environment that providers and
	// models gave.
	ProvidedEnvironment []string `json:"provided_environment,omitempty"`
	// Needs are the services that it depends on and that programs provide.
	Needs []string `json:"-"`
	// Umask is what the process takes from the modes of files that it makes; nil: as runc has it.
	Umask      *uint32        `json:"umask,omitempty"`
	WorkingDir string         `json:"working_dir,omitempty"`
	Security   string         `json:"x-orlop-security,omitempty"` // "", default or hardened
	Extensions map[string]any `json:"-"`
}

// Profiles of a Service's Security. The hardened one is read-only but for /tmp,
// /run and /var/tmp, has no more capabilities than podman gives, and gains no
// privileges by running a program.
const (
	SecurityDefault  = "default"
	SecurityHardened = "hardened"
)

// Command is a command line as its words. A nil Command is unset, an empty
// one was set to nothing: the two differ (JSON null and []).
type Command []string

// Bytes is a size in bytes; its canonical text is the decimal number.
type Bytes int64

// Duration is a time span; its canonical text is Go's ("1m30s").
type Duration time.Duration

// Conditions of a Dependency.
const (
	ServiceStarted   = "service_started"
	ServiceHealthy   = "service_healthy"
	ServiceCompleted = "service_completed_successfully"
)

// Dependency is one entry of depends_on.
type Dependency struct {
	Condition string `json:"condition"`
	Restart   bool   `json:"restart,omitempty"`
	Required  bool   `json:"required"`
}

// Resources are what the containers of a service may take and are to have
// (Compose Deploy Specification, "resources").
type Resources struct {
	Limits       *ResourceLimits       `json:"limits,omitempty"`
	Reservations *ResourceReservations `json:"reservations,omitempty"`
}

// ResourceLimits are the limits of each container.
type ResourceLimits struct {
	CPUs   float64 `json:"cpus,omitempty"` // cores
	Memory Bytes   `json:"memory,omitempty"`
	Pids   int64   `json:"pids,omitempty"`
}

// ResourceReservations are what each container is to have.
type ResourceReservations struct {
	CPUs    float64         `json:"cpus,omitempty"` // cores; on a cluster alone
	Memory  Bytes           `json:"memory,omitempty"`
	Devices []DeviceRequest `json:"devices,omitempty"`
}

// BlkioConfig are the limits on block devices ("blkio_config").
type BlkioConfig struct {
	Weight          int64          `json:"weight,omitempty"` // 10 to 1000
	WeightDevice    []DeviceWeight `json:"weight_device,omitempty"`
	DeviceReadBps   []DeviceRate   `json:"device_read_bps,omitempty"`
	DeviceReadIOps  []DeviceRate   `json:"device_read_iops,omitempty"`
	DeviceWriteBps  []DeviceRate   `json:"device_write_bps,omitempty"`
	DeviceWriteIOps []DeviceRate   `json:"device_write_iops,omitempty"`
}

// DeviceWeight is a block device's own weight.
type DeviceWeight struct {
	Path   string `json:"path"`
	Weight int64  `json:"weight"`
}

// DeviceRate is a limit of a block device, a second.
type DeviceRate struct {
	Path string `json:"path"`
	Rate Bytes  `json:"rate"`
}

// Develop says how a running service is kept in step with the working tree
// ("develop"). It makes nothing of a container: a change of it replaces none.
type Develop struct {
	Watch []WatchRule `json:"watch,omitempty"`
}

// Actions of a WatchRule.
const (
	WatchSync        = "sync"
	WatchSyncRestart = "sync+restart"
	WatchSyncExec    = "sync+exec"
	WatchRestart     = "restart"
	WatchRebuild     = "rebuild"
)

// WatchRule says what a change below a path brings about (Compose Develop
// Specification, "watch"). Patterns are those of .dockerignore, from Path.
type WatchRule struct {
	Path        string   `json:"path"` // absolute, a directory or a file
	Action      string   `json:"action"`
	Target      string   `json:"target,omitempty"` // in the container; of the actions that sync
	Exec        *Hook    `json:"exec,omitempty"`   // of sync+exec
	Include     []string `json:"include,omitempty"`
	Ignore      []string `json:"ignore,omitempty"`
	InitialSync bool     `json:"initial_sync,omitempty"`
}

// Hook is a command that is run inside a container.
type Hook struct {
	Command     Command            `json:"command"`
	User        string             `json:"user,omitempty"`
	Privileged  bool               `json:"privileged,omitempty"`
	WorkingDir  string             `json:"working_dir,omitempty"`
	Environment map[string]*string `json:"environment,omitempty"`
}

// Variables are those of a hook's environment that have a value, as NAME=VALUE, by name.
func (h *Hook) Variables() []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(h.Environment)) {
		if v := h.Environment[name]; v != nil {
			list = append(list, name+"="+*v)
		}
	}
	return list
}

// HealthCheck is a service's own probe; unset fields come from the image.
type HealthCheck struct {
	Test          []string  `json:"test,omitempty"` // NONE | CMD args... | CMD-SHELL line
	Interval      *Duration `json:"interval,omitempty"`
	Timeout       *Duration `json:"timeout,omitempty"`
	Retries       *int      `json:"retries,omitempty"`
	StartPeriod   *Duration `json:"start_period,omitempty"`
	StartInterval *Duration `json:"start_interval,omitempty"`
	Disable       bool      `json:"disable,omitempty"`
}

// ServiceNetwork is a service's attachment to a network; nil means all defaults.
type ServiceNetwork struct {
	Aliases             []string          `json:"aliases,omitempty"`
	DriverOpts          map[string]string `json:"driver_opts,omitempty"`
	GatewayPriority     int               `json:"gw_priority,omitempty"`
	InterfaceName       string            `json:"interface_name,omitempty"`
	IPv4Address         string            `json:"ipv4_address,omitempty"`
	IPv6Address         string            `json:"ipv6_address,omitempty"`
	LinkLocalIPs        []string          `json:"link_local_ips,omitempty"`
	MacAddress          string            `json:"mac_address,omitempty"`
	Priority            int               `json:"priority,omitempty"`
	UseServiceNameAlias *bool             `json:"use_service_name_alias,omitempty"` // nil is true
}

// Port is one published port in long form; ranges are expanded.
type Port struct {
	Name      string `json:"name,omitempty"`
	Mode      string `json:"mode,omitempty"` // ingress or host
	HostIP    string `json:"host_ip,omitempty"`
	Target    int    `json:"target"`
	Published string `json:"published,omitempty"` // "", a port, or "from-to": any free one of it
	Protocol  string `json:"protocol,omitempty"`  // tcp or udp
	// AppProtocol is a note of what is spoken there, as Name is.
	AppProtocol string `json:"app_protocol,omitempty"`
}

// Kinds of a Mount.
const (
	MountBind   = "bind"
	MountVolume = "volume"
	MountTmpfs  = "tmpfs"
	MountImage  = "image"
)

// Mount is one entry of a service's volumes in long form.
type Mount struct {
	Type     string       `json:"type"`
	Source   string       `json:"source,omitempty"` // absolute path, volume key, or "" for an anonymous volume
	Target   string       `json:"target,omitempty"`
	ReadOnly bool         `json:"read_only,omitempty"`
	Bind     *BindOptions `json:"bind,omitempty"`
	Volume   *VolumeOpts  `json:"volume,omitempty"`
	Tmpfs    *TmpfsOpts   `json:"tmpfs,omitempty"`
	Image    *ImageOpts   `json:"image,omitempty"`
}

// ImageOpts are the options of a mount of an image's file system, which is read-only.
type ImageOpts struct {
	Subpath string `json:"subpath,omitempty"`
}

// BindOptions are the options of a bind mount.
type BindOptions struct {
	CreateHostPath bool   `json:"create_host_path,omitempty"`
	Propagation    string `json:"propagation,omitempty"`
	Recursive      string `json:"recursive,omitempty"` // what of the mounts below comes with it; "" is enabled
}

// VolumeOpts are the options of a volume mount.
type VolumeOpts struct {
	Labels  map[string]string `json:"labels,omitempty"` // of a volume that nobody named
	NoCopy  bool              `json:"nocopy,omitempty"`
	Subpath string            `json:"subpath,omitempty"`
}

// TmpfsOpts are the options of a tmpfs mount; Mode is octal in the file.
type TmpfsOpts struct {
	Size Bytes  `json:"size,omitempty"`
	Mode uint32 `json:"mode,omitempty"`
}

// FileMount is a service's (or build's) use of a secret or config.
type FileMount struct {
	Source string  `json:"source"`
	Target string  `json:"target,omitempty"` // "" is the default: /run/secrets/SOURCE or /SOURCE
	UID    string  `json:"uid,omitempty"`
	GID    string  `json:"gid,omitempty"`
	Mode   *uint32 `json:"mode,omitempty"` // default 0444
}

// Ulimit is a resource limit: Single, or Soft and Hard.
type Ulimit struct {
	Single int64 `json:"single,omitempty"`
	Soft   int64 `json:"soft,omitempty"`
	Hard   int64 `json:"hard,omitempty"`
}

// Network is a declared network. Name is the full name (project_key unless set).
type Network struct {
	Name       string            `json:"name"`
	Driver     string            `json:"driver,omitempty"`
	DriverOpts map[string]string `json:"driver_opts,omitempty"`
	EnableIPv4 *bool             `json:"enable_ipv4,omitempty"` // nil is true
	EnableIPv6 *bool             `json:"enable_ipv6,omitempty"`
	Internal   bool              `json:"internal,omitempty"`
	External   bool              `json:"external,omitempty"`
	IPAM       *IPAM             `json:"ipam,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`
}

// IPAM fixes a network's addresses.
type IPAM struct {
	Driver string     `json:"driver,omitempty"` // "" or "default"
	Config []IPAMPool `json:"config,omitempty"`
}

// IPAMPool is one range of addresses.
type IPAMPool struct {
	Subnet  string `json:"subnet,omitempty"`
	Gateway string `json:"gateway,omitempty"`
	IPRange string `json:"ip_range,omitempty"`
	// AuxAddresses are nobody's on the network, by what has them.
	AuxAddresses map[string]string `json:"aux_addresses,omitempty"`
}

// Volume is a declared volume. Name is the full name (project_key unless set).
type Volume struct {
	Name       string            `json:"name"`
	Driver     string            `json:"driver,omitempty"`
	DriverOpts map[string]string `json:"driver_opts,omitempty"` // type, device and o of what is mounted as the volume
	External   bool              `json:"external,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`
	Extensions map[string]any    `json:"-"`
}

// Secret is a declared secret. Its content is in Project.Payloads.
type Secret struct {
	Name        string            `json:"name"`
	File        string            `json:"file,omitempty"`        // absolute
	Environment string            `json:"environment,omitempty"` // name of the variable
	Content     string            `json:"-"`                     // inline content; shown by nobody
	External    bool              `json:"external,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	// TemplateDriver is golang where the content is a template.
	TemplateDriver string `json:"template_driver,omitempty"`
}

// Config is a declared config; unlike a secret its content may be shown.
type Config struct {
	Name        string            `json:"name"`
	File        string            `json:"file,omitempty"`
	Environment string            `json:"environment,omitempty"`
	Content     string            `json:"content,omitempty"`
	External    bool              `json:"external,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	// TemplateDriver is golang where the content is a template.
	TemplateDriver string `json:"template_driver,omitempty"`
}

// Replicas is how many containers of the service are wanted: scale, else
// deploy.replicas, else 1; of a global one, 1.
func (s *Service) Replicas() int {
	switch {
	case s.Scale != nil:
		return *s.Scale
	case s.IsGlobal():
		return 1
	case s.Deploy != nil && s.Deploy.Replicas != nil:
		return *s.Deploy.Replicas
	}
	return 1
}

// OnlyOne names the key for which a service can have one container at most,
// such as "services.web.container_name"; "" if it can have more.
func (p *Project) OnlyOne(service string) string {
	s := p.Services[service]
	if s.ContainerName != "" {
		return "services." + service + ".container_name"
	}
	if key := s.FixedAddress(); key != "" {
		return "services." + service + "." + key
	}
	if s.IsGlobal() {
		return "services." + service + ".deploy.mode"
	}
	return ""
}

// Buildable is a service whose image can be asked for: an active one, a job, or one
// that others are built from; nil if there is none.
func (p *Project) Buildable(name string) *Service {
	if s := cmp.Or(p.Services[name], p.Jobs[name]); s != nil {
		return s
	}
	return p.Bases[name]
}

// ImageName is the reference that the service's containers run: its image
// key, else PROJECT-SERVICE for one that is only built.
func (p *Project) ImageName(service string) string {
	s := p.Buildable(service)
	if s.Image != "" {
		return s.Image
	}
	return p.Name + p.Separator() + service
}

// Separator stands between the parts of the names of containers and built images.
func (p *Project) Separator() string {
	if p.Underscore {
		return "_"
	}
	return "-"
}

// ImageOnly is a service of which only the image counts.
func (s *Service) ImageOnly() *Service {
	return &Service{Name: s.Name, Build: s.Build, Image: s.Image, Platform: s.Platform, PullPolicy: s.PullPolicy}
}

// How the mounts below the source of a bind mount come with it.
const (
	RecursiveEnabled  = "enabled"  // below a read-only one they are read-only where the kernel can
	RecursiveWritable = "writable" // they stay so below a read-only one
	RecursiveDisabled = "disabled" // they do not
	RecursiveReadOnly = "readonly" // they are read-only, or the mount fails
)

// Protocols of a port.
const (
	ProtocolTCP  = "tcp"
	ProtocolUDP  = "udp"
	ProtocolSCTP = "sctp"
)

// Protocols are those that a port may have.
func Protocols() []string { return []string{ProtocolTCP, ProtocolUDP, ProtocolSCTP} }
