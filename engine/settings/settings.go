// Package settings has what a user may set of the engine, in ROOT/engine.yaml. The file is
// read when it is needed, so that a change takes effect at once, and checked whole.
package settings

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	resolverconfig "github.com/moby/buildkit/util/resolver/config"
	"gopkg.in/yaml.v3"

	"github.com/orlop/orlop/engine/trust"
	"github.com/orlop/orlop/runner/shim"
	"github.com/orlop/orlop/runner/userns"
	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/privilege"
	"github.com/orlop/orlop/spec/userfile"
	"github.com/orlop/orlop/spec/yamlfile"
)

// Settings are what a user may set of the engine.
type Settings struct {
	// Registries says how to reach a registry, by its host: "docker.io".
	Registries map[string]Registry `yaml:"registries"`
	// Pools are the ranges that networks get their subnets from.
	Pools []string `yaml:"address_pools"`
	// Published says whether the kernel may send published ports to containers: kernel,
	// where nothing is in its way, or userspace.
	Published string `yaml:"published_ports"`
	// Security is the profile of services that say nothing about it: default or
	// hardened.
	Security string `yaml:"security"`
	// Policy says what stacks may not ask for.
	Policy struct {
		Forbid []privilege.Kind `yaml:"forbid"`
	} `yaml:"policy"`
	// Runtime makes the containers of services that name none: orlop, the shim itself, or
	// runc, in a process for each step.
	Runtime string `yaml:"default_runtime"`
	// Runtimes are those that services may name beside runc.
	Runtimes shim.Runtimes `yaml:"runtimes"`
	// Collection says which images and what of the build cache is removed when nobody uses it.
	Collection Collection `yaml:"gc"`
	// Remap says which users of the machine those of containers are.
	Remap userns.Setting `yaml:"userns_remap"`
	// Trust says which images of registries are used.
	Trust trust.Policy `yaml:"trust"`
}

// Registry is what is set of one registry.
type Registry struct {
	Mirrors  []string `yaml:"mirrors"`  // hosts or URLs that are asked first
	HTTP     bool     `yaml:"http"`     // without TLS
	Insecure bool     `yaml:"insecure"` // any certificate will do
	CA       []string `yaml:"ca"`       // files of further authorities
	Username string   `yaml:"username"`
	Password string   `yaml:"password_file"` // a file that holds it
}

// Path is the file of an engine's settings.
func Path(root string) string { return filepath.Join(root, "engine.yaml") }

// Load reads the file; without one all is as by default. All that is wrong in it is told,
// with its place; the settings are then what was valid.
func Load(root string) (*Settings, error) {
	path := Path(root)
	text, err := userfile.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &Settings{}, nil
	}
	if err != nil {
		return &Settings{}, fmt.Errorf("cannot read the engine's settings: %w", err)
	}
	s := &Settings{}
	at, wrong := yamlfile.Decode(path, text, s)
	if at == nil {
		return s, wrong
	}
	_, err = s.Remap.Map(path)
	s.Trust.Place(at.At)
	errs := []error{wrong, s.checkPools(at), s.checkPublished(at), s.checkSecurity(at), s.checkRuntime(at), s.Collection.check(at), err, s.Trust.Check(at.At)}
	if wrong == nil { // a path that could not be read is no path that is missing
		errs = append(errs, s.Runtimes.Check(func(name, key string) string { return at.At("runtimes", name, key) }))
	}
	return s, errors.Join(errs...)
}

// Trust is what the file says of images alone. It is read beside what else is wrong there: a typo in another key takes no
// image from anybody. A key that may be meant for this one is a mistake of the policy.
func Trust(root string) (trust.Policy, error) {
	path := Path(root)
	text, err := userfile.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the engine's settings: %w", err)
	}
	const key = "trust"
	var s struct {
		Trust  trust.Policy         `yaml:"trust"`
		Others map[string]yaml.Node `yaml:",inline"`
	}
	at, wrong := yamlfile.Decode(path, text, &s)
	if at == nil {
		return nil, wrong
	}
	errs := []error{wrong}
	for _, name := range slices.Sorted(maps.Keys(s.Others)) {
		if spec.Nearest(name, []string{key}) != "" {
			errs = append(errs, fmt.Errorf("%s: unknown key %q: did you mean %q?", at.At(name), name, key))
		}
	}
	s.Trust.Place(at.At)
	return s.Trust, errors.Join(append(errs, s.Trust.Check(at.At))...)
}

// AtStart are those that an engine starts with. Mistakes keep none from it, as nobody
// would look after the containers: it goes without what is wrong, and has that to tell.
func AtStart(root string) (s *Settings, warning string) {
	s, err := Load(root)
	if err == nil {
		return s, ""
	}
	said := strings.ReplaceAll(err.Error(), "\n", "; ")
	return s, fmt.Sprintf(`the engine has started without what is wrong in its settings: %s: correct it, then "orlop engine restart"`, said)
}

// Check says what is wrong in the file.
func Check(root string) error {
	_, err := Load(root)
	return err
}

// Examine is Check that looks into the files of the policy as well.
func Examine(root string) error {
	s, err := Load(root)
	return errors.Join(err, s.Trust.Examine())
}

// Runtimes are those of the settings as they are at the time of the call.
func Runtimes(root string) func() (shim.Runtimes, error) {
	return func() (shim.Runtimes, error) {
		s, err := Load(root)
		if err != nil {
			return nil, err
		}
		return s.Runtimes, nil
	}
}

// checkSecurity refuses words that mean nothing: a policy with one would allow
// what it was to forbid.
func (s *Settings) checkSecurity(at *yamlfile.File) error {
	var errs []error
	if words := []string{spec.SecurityDefault, spec.SecurityHardened}; s.Security != "" && !slices.Contains(words, s.Security) {
		errs = append(errs, unknown(at.At("security"), "security", s.Security, words))
	}
	var kinds []string
	for _, kind := range privilege.Kinds() {
		kinds = append(kinds, string(kind))
	}
	for i, kind := range s.Policy.Forbid {
		if !slices.Contains(kinds, string(kind)) {
			errs = append(errs, unknown(at.At("policy", "forbid", strconv.Itoa(i)), fmt.Sprintf("policy.forbid[%d]", i), string(kind), kinds))
		}
	}
	return errors.Join(errs...)
}

// unknown is a word that none of those that a key may have is.
func unknown(at, key, word string, words []string) error {
	if near := spec.DidYouMean(word, words); near != "" {
		return fmt.Errorf("%s: %s: no such word as %q: %s", at, key, word, near)
	}
	return fmt.Errorf("%s: %s: no such word as %q: there are %s", at, key, word, strings.Join(words, ", "))
}

// Words of published_ports.
const publishedByKernel, publishedInUserspace = "kernel", "userspace"

// PublishesInUserspace says that no published port may be the kernel's to send on.
func (s *Settings) PublishesInUserspace() bool { return s.Published == publishedInUserspace }

// checkPublished refuses words that mean nothing.
func (s *Settings) checkPublished(at *yamlfile.File) error {
	if words := []string{publishedByKernel, publishedInUserspace}; s.Published != "" && !slices.Contains(words, s.Published) {
		return unknown(at.At("published_ports"), "published_ports", s.Published, words)
	}
	return nil
}

// Words of default_runtime.
const madeByShim, madeByRunc = "orlop", spec.DefaultRuntime

func (s *Settings) checkRuntime(at *yamlfile.File) error {
	if words := []string{madeByShim, madeByRunc}; s.Runtime != "" && !slices.Contains(words, s.Runtime) {
		return unknown(at.At("default_runtime"), "default_runtime", s.Runtime, words)
	}
	return nil
}

// ByRunc says, as the settings are at the time of the call, that runc makes the containers of
// services that name no runtime.
func ByRunc(root string) func() bool {
	return func() bool {
		s, _ := Load(root) // what is wrong in it is told elsewhere
		return s.Runtime == madeByRunc
	}
}

// checkPools refuses what is no range of addresses.
func (s *Settings) checkPools(at *yamlfile.File) error {
	var errs []error
	for i, text := range s.Pools {
		if _, err := netip.ParsePrefix(text); err != nil {
			errs = append(errs, fmt.Errorf("%s: address_pools[%d]: %q is not a range of addresses: write one such as 10.89.0.0/16", at.At("address_pools", strconv.Itoa(i)), i, text))
		}
	}
	return errors.Join(errs...)
}

// AddressPools are the ranges that networks get their subnets from.
func (s *Settings) AddressPools() (list []netip.Prefix) {
	for _, text := range s.Pools {
		if p, err := netip.ParsePrefix(text); err == nil { // else it was told of when it was read
			list = append(list, p)
		}
	}
	return list
}

// RegistryConfigs puts the registries into BuildKit's words. A mirror given as
// an http URL is noted as one to be reached without TLS.
func (s *Settings) RegistryConfigs() map[string]resolverconfig.RegistryConfig {
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

// Plain are the registries that may be reached without TLS, and be sent a login so; none
// where the settings can't be read, which is told to who builds.
func Plain(root string) []string {
	s, err := Load(root)
	if err != nil {
		return nil
	}
	var plain []string
	for name, c := range s.RegistryConfigs() {
		if c.PlainHTTP != nil && *c.PlainHTTP {
			plain = append(plain, name)
		}
	}
	slices.Sort(plain)
	return plain
}

// Credentials are those that the settings have for a host.
func (s *Settings) Credentials(host string) (user, secret string, err error) {
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
