package engine

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/moby/buildkit/util/resolver"
	resolverconfig "github.com/moby/buildkit/util/resolver/config"

	"github.com/orlop/orlop/builder/origin"
	"github.com/orlop/orlop/engine/outbound"
	"github.com/orlop/orlop/engine/settingsfile"
	"github.com/orlop/orlop/runner/shim"
	"github.com/orlop/orlop/runner/topology"
	"github.com/orlop/orlop/runner/userns"
	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/privilege"
	"github.com/orlop/orlop/spec/userfile"
)

// settings are what a user may set of the engine, in ROOT/engine.yaml. They
// are read when they are needed, so that a change takes effect at once.
type settings struct {
	// Registries says how to reach a registry, by its host: "docker.io".
	Registries map[string]registrySettings `yaml:"registries"`
	// Pools are the ranges that networks get their subnets from.
	Pools []string `yaml:"address_pools"`
	// Security is the profile of services that say nothing about it: default or
	// hardened.
	Security string `yaml:"security"`
	// Policy says what stacks may not ask for.
	Policy struct {
		Forbid []privilege.Kind `yaml:"forbid"`
	} `yaml:"policy"`
	// Runtimes are those that services may name beside runc.
	Runtimes shim.Runtimes `yaml:"runtimes"`
	// Remap says which users of the machine those of containers are.
	Remap userns.Setting `yaml:"userns_remap"`
}

// registrySettings are those of one registry.
type registrySettings struct {
	Mirrors  []string `yaml:"mirrors"`  // hosts or URLs that are asked first
	HTTP     bool     `yaml:"http"`     // without TLS
	Insecure bool     `yaml:"insecure"` // any certificate will do
	CA       []string `yaml:"ca"`       // files of further authorities
	Username string   `yaml:"username"`
	Password string   `yaml:"password_file"` // a file that holds it
}

func settingsPath(root string) string { return filepath.Join(root, "engine.yaml") }

// loadSettings reads the file; without one all is as by default.
func loadSettings(root string) (*settings, error) {
	path := settingsPath(root)
	text, err := userfile.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &settings{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the engine's settings: %w", err)
	}
	s := &settings{}
	if err := settingsfile.Decode(path, text, s); err != nil {
		return nil, err
	}
	_, err = s.Remap.Map(path)
	return s, errors.Join(s.checkSecurity(path), s.Runtimes.Check(path), err)
}

// runtimes are those of the settings as they are at the time of the call.
func runtimes(root string) func() (shim.Runtimes, error) {
	return func() (shim.Runtimes, error) {
		s, err := loadSettings(root)
		if err != nil {
			return nil, err
		}
		return s.Runtimes, nil
	}
}

// checkSecurity refuses words that mean nothing: a policy with one would allow
// what it was to forbid.
func (s *settings) checkSecurity(path string) error {
	if !slices.Contains([]string{"", spec.SecurityDefault, spec.SecurityHardened}, s.Security) {
		return fmt.Errorf("%s: security is %q: it must be %s or %s", path, s.Security, spec.SecurityDefault, spec.SecurityHardened)
	}
	for _, kind := range s.Policy.Forbid {
		if !slices.Contains(privilege.Kinds(), kind) {
			return fmt.Errorf("%s: policy.forbid has %q: it may have %v", path, kind, privilege.Kinds())
		}
	}
	return nil
}

// govern holds a project to the engine's settings: its profile, and what its
// policy forbids.
func (e *Engine) govern(p *spec.Project, dir string) error {
	s, err := loadSettings(e.cfg.Root)
	if err != nil {
		return err
	}
	if s.Security == spec.SecurityHardened {
		privilege.Harden(p)
	}
	if err := s.Runtimes.Allow(p, settingsPath(e.cfg.Root)); err != nil {
		return err
	}
	if err := s.Remap.Govern(p, settingsPath(e.cfg.Root), e.cfg.Root, e.cfg.State); err != nil {
		return err
	}
	return privilege.Check(topology.AsKnown(p, e.networks.Network), dir, s.Policy.Forbid, settingsPath(e.cfg.Root), e.cfg.Root, e.cfg.State)
}

// checkSettings says whether an engine would start by the settings as they are now.
func checkSettings(root string) error {
	s, err := loadSettings(root)
	if err != nil {
		return err
	}
	if _, err := s.pools(); err != nil {
		return fmt.Errorf("%s: %w", settingsPath(root), err)
	}
	return nil
}

func (s *settings) pools() ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range s.Pools {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("address_pools: %q is not a range of addresses", text)
		}
		out = append(out, p)
	}
	return out, nil
}

// registryHosts says where each registry is reached, by the settings as they
// are at the time of the call.
func registryHosts(root string, callers *outbound.Callers) docker.RegistryHosts {
	return func(host string) ([]docker.RegistryHost, error) {
		s, err := loadSettings(root)
		if err != nil {
			return nil, err
		}
		list, err := resolver.NewRegistryConfig(s.registryConfigs())(host)
		for i := range list {
			name := list[i].Host
			if i == len(list)-1 {
				name = host // the registry itself, which may be reached by another name
			}
			secured, err := s.Registries[name].tls()
			if err != nil {
				return nil, err
			}
			plain := s.Registries[name].HTTP
			by := &outbound.Transport{Base: transportOf(list[i].Client), TLS: secured, Callers: callers}
			if plain && list[i].Scheme == "https" { // any certificate will do, and so does none
				by.Fallback = list[i].Host
			}
			list[i].Client = origin.Bind(&http.Client{Transport: by}, list[i].Host, plain || list[i].Scheme == "http")
		}
		return list, err
	}
}

// tls says whom to trust at a registry.
func (r registrySettings) tls() (*tls.Config, error) {
	c := &tls.Config{InsecureSkipVerify: r.Insecure}
	if len(r.CA) == 0 {
		return c, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	for _, file := range r.CA {
		text, err := userfile.Read(file)
		if err != nil {
			return nil, fmt.Errorf("cannot read an authority of a registry: %w", err)
		}
		pool.AppendCertsFromPEM(text)
	}
	c.RootCAs = pool
	return c, nil
}

// registryConfigs puts the registries into BuildKit's words. A mirror given as
// an http URL is noted as one to be reached without TLS.
func (s *settings) registryConfigs() map[string]resolverconfig.RegistryConfig {
	config := map[string]resolverconfig.RegistryConfig{}
	yes := true
	for name, reg := range s.Registries {
		c := config[name]
		c.RootCAs = reg.CA
		if reg.HTTP {
			c.PlainHTTP = &yes
		}
		if reg.Insecure {
			c.Insecure = &yes
		}
		for _, m := range reg.Mirrors {
			host, isHTTP := strings.CutPrefix(m, "http://")
			host = strings.TrimPrefix(host, "https://")
			c.Mirrors = append(c.Mirrors, host)
			if isHTTP {
				mirror, _, _ := strings.Cut(host, "/")
				plain := config[mirror]
				plain.PlainHTTP = &yes
				config[mirror] = plain
			}
		}
		config[name] = c
	}
	return config
}

// plainRegistries are those that may be reached without TLS, and be sent a login so; none
// where the settings can't be read, which is told to who builds.
func plainRegistries(root string) []string {
	s, err := loadSettings(root)
	if err != nil {
		return nil
	}
	var plain []string
	for name, c := range s.registryConfigs() {
		if c.PlainHTTP != nil && *c.PlainHTTP {
			plain = append(plain, name)
		}
	}
	slices.Sort(plain)
	return plain
}

// credentials are those that the settings have for a host.
func (s *settings) credentials(host string) (user, secret string, err error) {
	if host == "registry-1.docker.io" {
		host = "docker.io"
	}
	reg, ok := s.Registries[host]
	if !ok || reg.Password == "" {
		return "", "", nil
	}
	b, err := userfile.Read(reg.Password)
	if err != nil {
		return "", "", fmt.Errorf("cannot read the password for %s: %w", host, err)
	}
	return reg.Username, strings.TrimSpace(string(b)), nil
}
