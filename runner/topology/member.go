package topology

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/network"
	"github.com/orlop/orlop/spec"
)

// Member is a container as far as its networks go.
type Member struct {
	Name     string
	Service  string
	Hostname string
	OneOff   bool // it has neither its service's names nor its fixed addresses
	Applied  *planner.Applied
}

// Sandbox is the network namespace that the container is to have, with its
// endpoint in each of its networks; the first one gives the default route.
func (m *Member) Sandbox() (network.Sandbox, error) {
	s := m.Applied.Service
	out := network.Sandbox{Names: m.names(), DNS: s.NetworkMode != "none", OwnNetwork: mayChangeNetwork(s)}
	for _, text := range s.DNS {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return out, fmt.Errorf("services.%s.dns: %q is not an IP address", m.Service, text)
		}
		out.Resolvers = append(out.Resolvers, addr)
	}
	if s.NetworkMode == "none" {
		return out, nil
	}
	for _, key := range order(m.Applied) {
		e := network.Endpoint{Network: m.Applied.Networks[key]}
		if n := s.Networks[key]; n != nil && !m.OneOff {
			e.Aliases = n.Aliases
			if n.IPv4Address != "" {
				addr, err := netip.ParseAddr(n.IPv4Address)
				if err != nil {
					return out, fmt.Errorf("services.%s.networks.%s: %q is not an IP address", m.Service, key, n.IPv4Address)
				}
				e.IPv4 = addr
			}
		}
		out.Endpoints = append(out.Endpoints, e)
	}
	return out, nil
}

// Join says that a container of a service joins the network namespace of another: if it
// may change that, it is left alone.
func (t *Store) Join(netns string, s *spec.Service) {
	if mayChangeNetwork(s) {
		t.nets.LeaveAlone(netns)
	}
}

// mayChangeNetwork says that a service's programs may change the network of their
// container: those of a VPN do.
func mayChangeNetwork(s *spec.Service) bool {
	return s.Privileged || slices.ContainsFunc(s.CapAdd, func(name string) bool {
		name = strings.TrimPrefix(strings.ToUpper(name), "CAP_")
		return name == "NET_ADMIN" || name == "ALL"
	})
}

// Addresses are those that the container's sandbox has, in the order of its
// networks, and their names for /etc/hosts.
func (m *Member) Addresses(state network.SandboxState) (list []string, names map[netip.Addr][]string) {
	names = map[netip.Addr][]string{}
	if m.Applied.Service.NetworkMode != "" {
		return nil, names
	}
	for _, key := range order(m.Applied) {
		if addr, ok := state.Addresses[m.Applied.Networks[key]]; ok {
			list = append(list, addr.Addr().String())
			names[addr.Addr()] = m.hostNames()
		}
	}
	return list, names
}

// hostNames are those that /etc/hosts has of the container: its name with its domain,
// which may be a part of the host name already, and without.
func (m *Member) hostNames() []string {
	full := m.Hostname
	if d := m.Applied.Service.Domainname; d != "" {
		full += "." + d
	}
	if short, _, ok := strings.Cut(full, "."); ok {
		return []string{full, short}
	}
	return []string{full}
}

// Hosts are the extra hosts of the container's service with "host-gateway" filled
// in: the address at which it reaches its host.
func (t *Store) Hosts(applied *planner.Applied) []string {
	gateway := "127.0.0.1"
	for _, key := range order(applied) {
		if n, ok := t.nets.Network(applied.Networks[key]); ok && applied.Service.NetworkMode == "" {
			gateway = n.Gateway.String()
			break
		}
	}
	var out []string
	for _, e := range applied.Service.ExtraHosts {
		if i := strings.IndexAny(e, "=:"); i > 0 && e[i+1:] == "host-gateway" {
			e = e[:i+1] + gateway
		}
		out = append(out, e)
	}
	return out
}

// order sorts a service's networks by priority, then by key: the first one gives
// the default route (Compose Specification, priority).
func order(a *planner.Applied) []string {
	priority := func(key string) int {
		if n := a.Service.Networks[key]; n != nil {
			return n.Priority
		}
		return 0
	}
	return slices.SortedFunc(maps.Keys(a.Networks), func(x, y string) int {
		return cmp.Or(priority(y)-priority(x), strings.Compare(x, y))
	})
}

// names are those that the container answers to on all its networks.
func (m *Member) names() []string {
	names := []string{m.Name}
	if !m.OneOff {
		names = append(names, m.Service)
	}
	if m.Applied.Service.Hostname != "" {
		names = append(names, m.Hostname)
	}
	return names
}
