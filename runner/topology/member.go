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
	"github.com/orlop/orlop/runner/network/netns"
	"github.com/orlop/orlop/spec"
)

// Member is a container as far as its networks go.
type Member struct {
	Project    string
	Name       string
	Service    string
	Hostname   string
	OneOff     bool // it has neither its service's names nor its fixed addresses
	UseAliases bool // but for the names
	Applied    *planner.Applied
	Joined     map[string]*spec.ServiceNetwork // networks beside those of its stack, by name
	Left       []string                        // names of those of its stack that it is not on
}

// Sandbox is the network namespace that the container is to have, with its
// endpoint in each of its networks; the first one gives the default route.
func (m *Member) Sandbox() (network.Sandbox, error) {
	s := m.Applied.Service
	out := network.Sandbox{Names: m.names(), DNS: s.NetworkMode != "none", OwnNetwork: mayChangeNetwork(s), Links: m.links(), NoIPv6: s.LinksWithoutIPv6()}
	if ids := s.IDMap(); ids != nil {
		out.Users = &netns.Users{UID: ids.UID, GID: ids.GID, Size: ids.Size}
	}
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
	for i, key := range m.order() {
		e, err := m.Endpoint(m.Applied.Networks[key], m.Applied.Service.Networks[key])
		if err != nil {
			return out, fmt.Errorf("services.%s.networks.%s: %w", m.Service, key, err)
		}
		if i == 0 && e.MAC == "" && !m.OneOff {
			e.MAC = s.MacAddress
		}
		out.Endpoints = append(out.Endpoints, e)
	}
	for _, name := range slices.Sorted(maps.Keys(m.Joined)) {
		e, err := m.Endpoint(name, m.Joined[name])
		if err != nil {
			return out, fmt.Errorf("network %s: %w", name, err)
		}
		out.Endpoints = append(out.Endpoints, e)
	}
	return out, nil
}

// Endpoint is the container's place on a network, by what is asked for there.
func (m *Member) Endpoint(name string, n *spec.ServiceNetwork) (network.Endpoint, error) {
	e := network.Endpoint{Network: name, NoIPv6: m.Applied.Service.HasIPv6Off()}
	if n == nil {
		return e, nil
	}
	e.Interface, e.GatewayPriority = cmp.Or(n.InterfaceName, n.DriverOpts[spec.OptEndpointInterface]), n.GatewayPriority
	for _, text := range spec.EndpointSysctls(n.DriverOpts[spec.OptEndpointSysctls]) {
		name, value, _ := strings.Cut(text, "=")
		if e.Sysctls == nil {
			e.Sysctls = map[string]string{}
		}
		e.Sysctls[name] = value
	}
	e.NoIPv6 = e.NoIPv6 || e.Sysctls["net.ipv6.conf.IFNAME.disable_ipv6"] == "1"
	if _, isJoined := m.Joined[name]; m.OneOff && !isJoined && !strings.HasPrefix(m.Project, spec.LonePrefix) { // its service's are that one's
		if m.UseAliases {
			e.Aliases = n.Aliases
		}
		return e, nil
	}
	e.Aliases, e.MAC = n.Aliases, n.MacAddress
	if n.UseServiceNameAlias != nil && !*n.UseServiceNameAlias && m.Name != m.Service {
		e.Without = []string{m.Service}
	}
	err := setAddresses(&e, n)
	return e, err
}

// setAddresses gives an endpoint the addresses that a service asks for.
func setAddresses(e *network.Endpoint, n *spec.ServiceNetwork) error {
	for _, text := range n.LinkLocalIPs {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return fmt.Errorf("%q is not an IP address", text)
		}
		e.LinkLocal = append(e.LinkLocal, addr)
	}
	for text, to := range map[string]*netip.Addr{n.IPv4Address: &e.IPv4, n.IPv6Address: &e.IPv6} {
		if text == "" {
			continue
		}
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return fmt.Errorf("%q is not an IP address", text)
		}
		*to = addr
	}
	return nil
}

// links are the names that its service's links give to others.
func (m *Member) links() map[string][]string {
	s := m.Applied.Service
	if len(s.Links)+len(s.ExternalLinks) == 0 {
		return nil
	}
	all := map[string][]string{}
	for _, link := range s.Links {
		target, alias := spec.CutLink(link)
		all[alias] = []string{FullName(m.Project, target), target}
	}
	for _, link := range s.ExternalLinks {
		target, alias := spec.CutLink(link)
		all[alias] = []string{target}
	}
	return all
}

// FullName is one that the containers of a service have and no others, also on a
// network of several projects. No program asks for it: links do.
func FullName(project, service string) string { return project + "/" + service }

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
	on := m.networks()
	slices.SortStableFunc(on, func(x, y string) int { // those first where the machine reaches it
		return cmp.Compare(rank(state, x), rank(state, y))
	})
	for _, name := range on {
		for _, addr := range state.Of(name) {
			list = append(list, addr.Addr().String())
			names[addr.Addr()] = m.hostNames()
		}
	}
	return list, names
}

// Reached is the first of a container's addresses at which the machine reaches it: none
// on a network outside is. It is the zero Addr if there is none.
func (t *Store) Reached(m *Member, addresses []string) netip.Addr {
	isOutside := func(addr netip.Addr) bool {
		for _, name := range m.networks() {
			n, ok := t.nets.Network(name)
			if ok && n.Driver != "" && (n.Subnet.Contains(addr) || n.Subnet6.Contains(addr)) {
				return true
			}
		}
		return false
	}
	for _, text := range addresses {
		if addr, err := netip.ParseAddr(text); err == nil && !isOutside(addr) {
			return addr
		}
	}
	return netip.Addr{}
}

func rank(state network.SandboxState, name string) int {
	if state.Outside[name] {
		return 1
	}
	return 0
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

// HostBinding is where a container's published ports are bound that name no address: the
// network says so by which its default route leads. It is "" for everywhere.
func (t *Store) HostBinding(m *Member) string {
	var way *network.Network
	most := 0
	for _, name := range m.networks() {
		n, ok := t.nets.Network(name)
		if priority := m.gatewayPriority(name); ok && !n.Internal && (way == nil || priority > most) {
			way, most = &n, priority
		}
	}
	if way == nil || !way.HostBinding.IsValid() {
		return ""
	}
	return way.HostBinding.String()
}

// gatewayPriority is what is asked for on one of the container's networks.
func (m *Member) gatewayPriority(name string) int {
	asked, isJoined := m.Joined[name]
	for key, of := range m.Applied.Networks {
		if of == name && !isJoined {
			asked = m.Applied.Service.Networks[key]
		}
	}
	if asked == nil {
		return 0
	}
	return asked.GatewayPriority
}

// Hosts are the extra hosts of the container's service with "host-gateway" filled
// in: the address at which it reaches its host.
func (t *Store) Hosts(m *Member) []string {
	gateway := "127.0.0.1"
	for _, name := range m.networks() {
		if n, ok := t.nets.Network(name); ok && n.Driver == "" && m.Applied.Service.NetworkMode == "" {
			gateway = n.HostAddress().String()
			break
		}
	}
	var out []string
	for _, e := range m.Applied.Service.ExtraHosts {
		if i := strings.IndexAny(e, "=:"); i > 0 && e[i+1:] == "host-gateway" {
			e = e[:i+1] + gateway
		}
		out = append(out, e)
	}
	return out
}

// order is that of the networks of its stack that the container is on as its service asks.
func (m *Member) order() []string {
	return slices.DeleteFunc(order(m.Applied), func(key string) bool {
		name := m.Applied.Networks[key]
		_, isJoined := m.Joined[name] // it has left, and was brought back in another way
		return isJoined || slices.Contains(m.Left, name)
	})
}

// networks are those that the container is on, in the order of its links.
func (m *Member) networks() (names []string) {
	for _, key := range m.order() {
		names = append(names, m.Applied.Networks[key])
	}
	return append(names, slices.Sorted(maps.Keys(m.Joined))...)
}

// order sorts a service's networks by priority, then by key: its links are eth0, eth1
// and so on, and of equal gw_priority the first gives the default route (Compose
// Specification, priority).
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
	if !m.OneOff || m.UseAliases {
		names = append(names, m.Service, FullName(m.Project, m.Service))
	}
	if m.Applied.Service.Hostname != "" {
		names = append(names, m.Hostname)
	}
	return names
}
