package spec

import (
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
		case at != nil && at.MacAddress != "":
			return "networks." + key + ".mac_address"
		}
	}
	if s.MacAddress != "" {
		return "mac_address"
	}
	return ""
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
