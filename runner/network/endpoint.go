package network

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
)

// Endpoint is a sandbox's link to one network.
type Endpoint struct {
	Network string `json:"network"`
	// Aliases resolve to the sandbox on this network only; Without are names of it
	// that don't resolve there.
	Aliases []string `json:"aliases,omitempty"`
	Without []string `json:"without,omitempty"`
	// IPv4 is the address to have; any free one if it is not valid. So is IPv6.
	IPv4 netip.Addr `json:"ipv4"`
	IPv6 netip.Addr `json:"ipv6,omitzero"`
	// NoIPv6 leaves its link without, whatever the network has.
	NoIPv6 bool `json:"noIPv6,omitempty"`
	// LinkLocal are more addresses of the link, of 169.254.0.0/16 and fe80::/10; those
	// of a family that the network has none of are left out.
	LinkLocal []netip.Addr `json:"linkLocal,omitempty"`
	// MAC is the hardware address to have; "" is one that belongs to the IP address.
	MAC string `json:"mac,omitempty"`
	// Interface is what the link is called inside; "" is the network's prefix and the
	// first number that is free.
	Interface string `json:"interface,omitempty"`
	// GatewayPriority says by which of the networks that have a way out the default
	// route leads: that of the highest, of equal ones the first.
	GatewayPriority int `json:"gatewayPriority,omitempty"`
	// Sysctls are the kernel's parameters of the link inside, such as
	// "net.ipv4.conf.IFNAME.log_martians", with its name at IFNAME.
	Sysctls map[string]string `json:"sysctls,omitempty"`
}

// InterfacePrefix begins the names of links inside of sandboxes, unless their
// network has another.
const InterfacePrefix = "eth"

// ifnameWord stands for the name of the link in the name of a kernel's parameter.
const ifnameWord = "IFNAME"

// endpoint is an Endpoint with what it was given.
type endpoint struct {
	Network string `json:"network"`
	Link    string `json:"link"` // on the host
	// Inside is its name inside; engines before that kept none of eth0, eth1 and so on.
	Inside  string     `json:"inside,omitempty"`
	Address netip.Addr `json:"address"` // not valid where the network has no IPv4
	// Address6 is that of IPv6, if its network has any.
	Address6 netip.Addr `json:"address6,omitzero"`
	// Detached endpoints have no link: their network is away, see Detach.
	Detached bool `json:"detached,omitempty"`
}

// has says that an endpoint has an address of a family.
func (e *endpoint) has(is6 bool) bool {
	return is6 && e.Address6.IsValid() || !is6 && e.Address.IsValid()
}

// place is the number of a sandbox's endpoint on a network, -1 if it has none.
func (s *sandbox) place(network string) int {
	return slices.IndexFunc(s.Endpoints, func(e endpoint) bool { return e.Network == network })
}

// inside is what a sandbox's link is called in its namespace.
func (s *sandbox) inside(i int) string {
	if name := s.Endpoints[i].Inside; name != "" {
		return name
	}
	return fmt.Sprintf("%s%d", InterfacePrefix, i)
}

// nameLinks says what the links of a sandbox are called inside; it is called once,
// with the networks of its endpoints.
func (s *sandbox) nameLinks(nets []Network) error {
	taken := map[string]bool{"lo": true}
	for _, e := range s.Spec.Endpoints {
		if e.Interface != "" && taken[e.Interface] {
			return fmt.Errorf("two of its links are to be called %s", e.Interface)
		}
		taken[e.Interface] = true
	}
	for i := range s.Endpoints {
		name := s.Spec.Endpoints[i].Interface
		for n := 0; name == ""; n++ {
			prefix := nets[i].InterfacePrefix
			if prefix == "" {
				prefix = InterfacePrefix
			}
			if next := fmt.Sprintf("%s%d", prefix, n); !taken[next] {
				name, taken[next] = next, true
			}
		}
		s.Endpoints[i].Inside = name
	}
	return nil
}

// wants is what an endpoint is to have, now that its link has a name.
func (s *sandbox) wants(i int) Endpoint {
	e := s.Spec.Endpoints[i]
	e.NoIPv6 = e.NoIPv6 || slices.Contains(s.Spec.NoIPv6, s.inside(i))
	return e
}

// hardware is the hardware address of a sandbox's link.
func (s *sandbox) hardware(i int) net.HardwareAddr {
	if mac, err := net.ParseMAC(s.Spec.Endpoints[i].MAC); err == nil {
		return mac
	}
	if e := s.Endpoints[i]; !e.Address.IsValid() {
		return hardwareAddr(e.Address6)
	}
	return hardwareAddr(s.Endpoints[i].Address)
}

// addresses are those of a sandbox's link.
func (s *sandbox) addresses(i int, n Network) (list []netip.Prefix) {
	const bits4, bits6 = 16, 64 // of link-local addresses: RFC 3927, RFC 4291
	e, local := s.Endpoints[i], s.Spec.Endpoints[i].LinkLocal
	if e.Address.IsValid() {
		list = append(list, netip.PrefixFrom(e.Address, n.Subnet.Bits()))
		for _, a := range local {
			if a.Is4() {
				list = append(list, netip.PrefixFrom(a, bits4))
			}
		}
	}
	if e.Address6.IsValid() {
		list = append(list, netip.PrefixFrom(e.Address6, n.Subnet6.Bits()), linkLocal6(s.hardware(i)))
		for _, a := range local {
			if a.Is6() {
				list = append(list, netip.PrefixFrom(a, bits6))
			}
		}
	}
	return list
}

// ways are the endpoints by which the default routes of a sandbox lead: of IPv4, of
// IPv6; -1 if there is none.
func (s *sandbox) ways(network func(name string) (Network, bool)) [2]int {
	return [2]int{s.gateway(network, false), s.gateway(network, true)}
}

func (s *sandbox) gateway(network func(name string) (Network, bool), is6 bool) int {
	at := -1
	for i, e := range s.Endpoints {
		n, ok := network(e.Network)
		if !ok || e.Detached || n.Internal || !e.has(is6) {
			continue
		}
		if at < 0 || s.Spec.Endpoints[i].GatewayPriority > s.Spec.Endpoints[at].GatewayPriority {
			at = i
		}
	}
	return at
}

// known is Network for who holds m.mu.
func (m *Manager) known(name string) (Network, bool) {
	if n, ok := m.networks[name]; ok {
		return n.Network, true
	}
	return Network{}, false
}

// attach makes one link between a sandbox's namespace and a bridge.
func (m *Manager) attach(inside *netlink.Handle, nsFD int, s *sandbox, i int, n Network, ways [2]int) error {
	if n.isOutside() {
		if err := m.attachOutside(inside, nsFD, s, i, n); err != nil {
			return err
		}
		return setUp(inside, s, i, n, ways)
	}
	bridge, err := m.links.LinkByName(n.Bridge)
	if err != nil {
		return fmt.Errorf("network %s has lost its bridge %s: %w", n.Name, n.Bridge, err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = s.Endpoints[i].Link
	attrs.Flags = net.FlagUp
	attrs.MasterIndex = bridge.Attrs().Index
	attrs.MTU = n.MTU // of both ends
	err = m.links.LinkAdd(&netlink.Veth{
		LinkAttrs: attrs, PeerName: s.inside(i), PeerNamespace: netlink.NsFd(nsFD),
		PeerHardwareAddr: s.hardware(i), PeerMTU: uint32(n.MTU),
	})
	if err != nil {
		return fmt.Errorf("cannot make a link to network %s: %w", n.Name, err)
	}
	if n.Isolated {
		if err := m.isolate(s.Endpoints[i].Link); err != nil {
			return err
		}
	}
	return setUp(inside, s, i, n, ways)
}

// setUp gives a new link of a sandbox what it is to have, inside of its namespace.
func setUp(inside *netlink.Handle, s *sandbox, i int, n Network, ways [2]int) error {
	name := s.inside(i)
	link, err := inside.LinkByName(name)
	if err != nil {
		return fmt.Errorf("cannot find %s: %w", name, err)
	}
	if s.Endpoints[i].has(true) {
		if err := setIPv6(name, true); err != nil {
			return err
		}
	}
	if err := setSysctls(name, s.Spec.Endpoints[i].Sysctls); err != nil {
		return err
	}
	if err := inside.LinkSetUp(link); err != nil {
		return fmt.Errorf("cannot bring %s up: %w", name, err)
	}
	for _, addr := range s.addresses(i, n) {
		if err := give(inside.AddrAdd, link, addr); err != nil {
			return err
		}
	}
	return routeOut(inside.RouteAdd, link, i, n, ways)
}

// routeOut leads the default routes over an endpoint whose link and network are given,
// those that lead there.
func routeOut(by func(*netlink.Route) error, link netlink.Link, i int, n Network, ways [2]int) error {
	for family, at := range ways {
		if at != i {
			continue
		}
		route := &netlink.Route{LinkIndex: link.Attrs().Index}
		gateway := n.wayOut(family == 1)
		if gateway.IsValid() {
			route.Gw = gateway.AsSlice()
		} else {
			route.Dst, route.Scope = toIPNet([]netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}[family], 0), netlink.SCOPE_LINK
		}
		if err := by(route); err != nil {
			return fmt.Errorf("cannot route by %s: %w", gateway, err)
		}
	}
	return nil
}

// isolate keeps what comes from a link of a bridge from the others that are isolated.
func (m *Manager) isolate(name string) error {
	link, err := m.links.LinkByName(name)
	if err == nil {
		err = m.links.LinkSetIsolated(link, true)
	}
	if err != nil {
		return fmt.Errorf("cannot keep the containers of a network apart: %w", err)
	}
	return nil
}

// setSysctls sets parameters of a link in the network namespace of the calling thread.
func setSysctls(link string, sysctls map[string]string) error {
	for _, key := range slices.Sorted(maps.Keys(sysctls)) {
		words := strings.Split(key, ".")
		for i := range words {
			if words[i] == ifnameWord {
				words[i] = link
			}
		}
		if slices.ContainsFunc(words, func(w string) bool { return w == "" || strings.Contains(w, "/") }) {
			return fmt.Errorf("cannot set %s: it is no parameter of a link", key)
		}
		if err := os.WriteFile("/proc/sys/"+strings.Join(words, "/"), []byte(sysctls[key]), 0); err != nil {
			return fmt.Errorf("cannot set %s to %q: %w", key, sysctls[key], err)
		}
	}
	return nil
}
