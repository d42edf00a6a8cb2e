package spec

import (
	"maps"
	"slices"
	"strings"
)

// Build says how a service's image is built ("build").
type Build struct {
	Context            string             `json:"context,omitempty"` // absolute, or a URL
	Dockerfile         string             `json:"dockerfile,omitempty"`
	DockerfileInline   string             `json:"dockerfile_inline,omitempty"`
	Args               map[string]*string `json:"args,omitempty"`
	Labels             map[string]string  `json:"labels,omitempty"`
	Target             string             `json:"target,omitempty"`
	AdditionalContexts map[string]string  `json:"additional_contexts,omitempty"` // name -> absolute path, URL, docker-image://REF or service:NAME
	Secrets            []FileMount        `json:"secrets,omitempty"`
	SSH                map[string]*string `json:"ssh,omitempty"` // ID -> absolute path of a key or of an agent's socket; nil: the caller's agent
	CacheFrom          []string           `json:"cache_from,omitempty"`
	CacheTo            []string           `json:"cache_to,omitempty"`
	NoCache            bool               `json:"no_cache,omitempty"`
	NoCacheFilter      []string           `json:"no_cache_filter,omitempty"` // stages
	Pull               bool               `json:"pull,omitempty"`
	Entitlements       []string           `json:"entitlements,omitempty"`
	Privileged         bool               `json:"privileged,omitempty"`  // the entitlement security.insecure
	ExtraHosts         []string           `json:"extra_hosts,omitempty"` // "name=address"
	Network            string             `json:"network,omitempty"`     // of the steps: "", default, host, none
	ShmSize            Bytes              `json:"shm_size,omitempty"`
	Ulimits            map[string]*Ulimit `json:"ulimits,omitempty"`
	Tags               []string           `json:"tags,omitempty"`
	Provenance         string             `json:"provenance,omitempty"` // true, false, or options: "mode=max"
	Platforms          []string           `json:"platforms,omitempty"`  // "" is the service's own
	SBOM               string             `json:"sbom,omitempty"`       // true, false, or options: "generator=IMAGE"
}

// NamesOf are all references of the image of a service: ImageName, and the tags that
// its build gives it.
func (p *Project) NamesOf(service string) []string {
	names := []string{p.ImageName(service)}
	if b := p.Buildable(service).Build; b != nil {
		names = append(names, b.Tags...)
	}
	return names
}

// Entitlements that a build may ask for.
const (
	EntitledNetwork  = "network.host"
	EntitledInsecure = "security.insecure"
)

// Entitlements are those that a build may ask for.
func Entitlements() []string { return []string{EntitledNetwork, EntitledInsecure} }

// Networks of the steps of a build.
const (
	BuildNetworkDefault = "default"
	BuildNetworkHost    = "host"
	BuildNetworkNone    = "none"
)

// Granted are the entitlements that a build asks for, by whichever key: the
// network of the host is one, too.
func (b *Build) Granted() []string {
	asked := map[string]bool{}
	for _, name := range b.Entitlements {
		asked[name] = true
	}
	if b.Privileged {
		asked[EntitledInsecure] = true
	}
	if b.Network == BuildNetworkHost {
		asked[EntitledNetwork] = true
	}
	return slices.Sorted(maps.Keys(asked))
}

// HostGateway is the name that stands for the host's address on a container's
// network.
const HostGateway = "host-gateway"

// GatewayStandIn stands for HostGateway in the steps of a build until one is run:
// they are told apart by what they say, and the address may be another one
// tomorrow. It is of the block that no router passes on (RFC 6666).
const GatewayStandIn = "100::6f72:6c6f:7067"

// IsGitOverSSH says whether a context is a repository that is reached over ssh.
func IsGitOverSSH(context string) bool {
	return strings.HasPrefix(context, "ssh://") || scpForm().MatchString(context)
}
