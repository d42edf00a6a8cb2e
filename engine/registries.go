package engine

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/moby/buildkit/util/resolver"

	"github.com/orlop/orlop/builder/origin"
	"github.com/orlop/orlop/engine/outbound"
	"github.com/orlop/orlop/engine/settings"
	"github.com/orlop/orlop/runner/topology"
	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/privilege"
	"github.com/orlop/orlop/spec/userfile"
)

// govern holds a project to the engine's settings: its profile, and what its
// policy forbids.
func (e *Engine) govern(p *spec.Project, dir string) error {
	s, err := settings.Load(e.cfg.Root)
	if err != nil {
		return err
	}
	if s.Security == spec.SecurityHardened {
		privilege.Harden(p)
	}
	if err := s.Runtimes.Allow(p, settings.Path(e.cfg.Root)); err != nil {
		return err
	}
	if err := s.Remap.Govern(p, settings.Path(e.cfg.Root), e.cfg.Root, e.cfg.State); err != nil {
		return err
	}
	return privilege.Check(topology.AsKnown(p, e.networks.Network), dir, s.Policy.Forbid, settings.Path(e.cfg.Root), e.cfg.Root, e.cfg.State)
}

// registryHosts says where each registry is reached, by the settings as they
// are at the time of the call.
func registryHosts(root string, callers *outbound.Callers) docker.RegistryHosts {
	return func(host string) ([]docker.RegistryHost, error) {
		s, err := settings.Load(root)
		if err != nil {
			return nil, err
		}
		list, err := resolver.NewRegistryConfig(s.RegistryConfigs())(host)
		for i := range list {
			name := list[i].Host
			if i == len(list)-1 {
				name = host // the registry itself, which may be reached by another name
			}
			secured, err := tlsOf(s.Registries[name])
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

// tlsOf says whom to trust at a registry.
func tlsOf(r settings.Registry) (*tls.Config, error) {
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
