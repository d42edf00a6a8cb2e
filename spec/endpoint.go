package spec

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// Options of a service's place on a network ("driver_opts"), as Docker calls them.
const (
	OptEndpointSysctls   = "com.docker.network.endpoint.sysctls" // "net.ipv4.conf.IFNAME.NAME=VALUE,..."
	OptEndpointInterface = "com.docker.network.endpoint.ifname"  // as interface_name
)

// FixedAddress names the key of a service that gives its container an address which
// no two have at a time, such as "networks.back.ipv4_address"; "" if none does.
func (s *Service) FixedAddress() string {
	for _, key := range slices.Sorted(maps.Keys(s.Networks)) {
		switch at := s.Networks[key]; {
		case at != nil && at.IPv4Address != "":
			return "networks." + key + ".ipv4_address"
		case at != nil && at.IPv6Address != "":
			return "networks." + key + ".ipv6_address"
		case at != nil && at.MacAddress != "":
			return "networks." + key + ".mac_address"
		}
	}
	if s.MacAddress != "" {
		return "mac_address"
	}
	return ""
}

// HasIPv6Off says that a service has IPv6 of its links switched off (sysctls).
func (s *Service) HasIPv6Off() bool {
	return s.Sysctls["net.ipv6.conf.all.disable_ipv6"] == "1"
}

// LinksWithoutIPv6 are the names of links of which a service has it switched off
// (sysctls).
func (s *Service) LinksWithoutIPv6() []string {
	var names []string
	for _, key := range slices.Sorted(maps.Keys(s.Sysctls)) {
		name, isOf := strings.CutPrefix(key, "net.ipv6.conf.")
		name, isIt := strings.CutSuffix(name, ".disable_ipv6")
		if isOf && isIt && s.Sysctls[key] == "1" && name != "all" && name != "default" && name != "lo" {
			names = append(names, name)
		}
	}
	return names
}

// CutLink is what an entry of links or external_links leads to, and the name that it
// gives it.
func CutLink(link string) (target, alias string) {
	target, alias, ok := strings.Cut(link, ":")
	if !ok {
		return target, target
	}
	return target, alias
}

// EndpointSysctls are the kernel's parameters in the option of a service's place on a
// network, each NAME=VALUE with IFNAME for the name of the link.
func EndpointSysctls(option string) []string {
	if option == "" {
		return nil
	}
	return strings.Split(option, ",")
}

// NetworkOrder are the keys of the networks that a service is on, by priority and then
// by name: its links are eth0, eth1 and so on.
func (s *Service) NetworkOrder() []string {
	priority := func(key string) int {
		if n := s.Networks[key]; n != nil {
			return n.Priority
		}
		return 0
	}
	return slices.SortedFunc(maps.Keys(s.Networks), func(x, y string) int {
		return cmp.Or(cmp.Compare(priority(y), priority(x)), strings.Compare(x, y))
	})
}

// Gateway is the key of the network by which a service's default route leads, of those
// that have a way out; "" if there is none.
func (s *Service) Gateway(leadsOut func(key string) bool) string {
	way, most := "", 0
	for _, key := range s.NetworkOrder() {
		priority := 0
		if n := s.Networks[key]; n != nil {
			priority = n.GatewayPriority
		}
		if leadsOut(key) && (way == "" || priority > most) {
			way, most = key, priority
		}
	}
	return way
}

// HostBinding is where the published ports of a service are bound that name no address;
// "" is everywhere, or where an external network says, which is not known here.
func (p *Project) HostBinding(s *Service) string {
	n := p.Networks[s.Gateway(func(key string) bool { return p.Networks[key] != nil && !p.Networks[key].Internal })]
	if n == nil {
		return ""
	}
	return n.Options().HostBinding
}
