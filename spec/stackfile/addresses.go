package stackfile

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/tree"
	"github.com/orlop/orlop/spec/values"
)

// fixedAddress checks the address that a service is to have on a network: that it is
// one, of the family, that one container alone has it, and that the network can give
// it. What an external network can give is not known here.
func (v *validator) fixedAddress(s *tree.Node, place tree.Field, key, at string) {
	address := place.Value.Value(key)
	if address == nil || address.Kind != tree.ScalarNode || address.Text == "" {
		return
	}
	is6, family := key == "ipv6_address", "IPv4"
	if is6 {
		family = "IPv6"
	}
	ip, err := netip.ParseAddr(address.Text)
	if err != nil || ip.Is6() != is6 || ip.Is4In6() || ip.Zone() != "" {
		v.l.Fail(address, at, fmt.Sprintf("%q is not an %s address", address.Text, family), "")
		return
	}
	if count := replicasOf(s); count > 1 {
		v.l.Fail(address, at, fmt.Sprintf("%d replicas cannot share one address", count), "remove "+key+", or run one replica")
		return
	}
	network := v.root.Value("networks").Value(place.Key)
	if network == nil || network.Value("external") != nil {
		return
	}
	has := values.HasFamilies(network) // also of one of which nothing is said
	switch {
	case is6 && !has.IPv6:
		v.l.Fail(address, at, "network "+place.Key+" has no IPv6", "write enable_ipv6: true there")
	case !is6 && !has.IPv4:
		v.l.Fail(address, at, "network "+place.Key+" has no IPv4", "remove enable_ipv4: false there, or this address")
	case is6 && tree.TextAt(s.Value("sysctls"), "net.ipv6.conf.all.disable_ipv6") == "1":
		v.l.Fail(address, at, "the service has IPv6 switched off", "take net.ipv6.conf.all.disable_ipv6 out of its sysctls, or this address")
	default:
		v.inRange(address, at, ip, network)
	}
}

// inRange complains of an address that is outside of the range of its family that its
// network names, or that is none of a host there.
func (v *validator) inRange(address *tree.Node, at string, ip netip.Addr, network *tree.Node) {
	config := network.Value("ipam").Value("config")
	if config == nil {
		return
	}
	for _, pool := range config.Items {
		subnet, err := netip.ParsePrefix(tree.TextAt(pool, "subnet"))
		if err != nil || subnet.Addr().Is6() != ip.Is6() {
			continue
		}
		isFirst := ip == subnet.Masked().Addr() && (ip.Is6() || subnet.Bits() < 31)
		isLast := ip.Is4() && subnet.Bits() < 31 && !subnet.Contains(ip.Next()) // it is for all hosts
		if !subnet.Contains(ip) || isFirst || isLast {
			v.l.Fail(address, at, fmt.Sprintf("%s is not the address of a host in %s", ip, subnet), "")
		}
		return
	}
}

// linkLocal6 warns of link-local addresses of IPv6 where the network has none.
func (v *validator) linkLocal6(place tree.Field, path string) {
	network := v.root.Value("networks").Value(place.Key)
	if network.Value("external") != nil || values.HasFamilies(network).IPv6 {
		return
	}
	for i, n := range place.Value.Value("link_local_ips").Entries() {
		if ip, err := netip.ParseAddr(n.Text); err == nil && ip.Is6() {
			v.l.Warn(n, tree.Indexed(path+".link_local_ips", i), "network "+place.Key+" has no IPv6: the address is left out", "write enable_ipv6: true there")
		}
	}
}

// hardwareOutside complains of a hardware address that a service is to have on a network
// whose links have their parent's.
func (v *validator) hardwareOutside(s, networks *tree.Node, path string) {
	check := func(n *tree.Node, key, at string) {
		network := v.root.Value("networks").Value(key)
		kind := tree.TextAt(network, "driver")
		if kind == spec.DriverMacvlan {
			kind += " in mode " + tree.TextAt(network.Value("driver_opts"), spec.OptMacvlanMode)
		}
		if n != nil && n.Text != "" && (kind == spec.DriverIPvlan || kind == spec.DriverMacvlan+" in mode "+spec.MacvlanPassthru) {
			v.l.Fail(n, at, fmt.Sprintf("network %s is of driver %s: its links have their parent's hardware address", key, kind), "remove mac_address, or take another driver or mode there")
		}
	}
	if s.Value("mac_address") == nil && (networks == nil || !slices.ContainsFunc(networks.Fields, func(f tree.Field) bool { return f.Value.Value("mac_address") != nil })) {
		return
	}
	places := &spec.Service{Networks: map[string]*spec.ServiceNetwork{}}
	if networks != nil {
		for _, f := range networks.Fields {
			check(f.Value.Value("mac_address"), f.Key, path+".networks."+f.Key+".mac_address")
			priority, _ := strconv.Atoi(tree.TextAt(f.Value, "priority"))
			places.Networks[f.Key] = &spec.ServiceNetwork{Priority: priority}
		}
	}
	first := append(places.NetworkOrder(), "default")[0]
	check(s.Value("mac_address"), first, path+".mac_address")
}

// portsOutside complains of published ports of a service that is on no network where
// this machine reaches it.
func (v *validator) portsOutside(s, networks *tree.Node, path string) {
	ports := s.Value("ports")
	if ports == nil || len(ports.Items) == 0 || len(networks.Fields) == 0 {
		return
	}
	for _, f := range networks.Fields {
		n := spec.Network{Driver: tree.TextAt(v.root.Value("networks").Value(f.Key), "driver")}
		if n.Outside() == "" {
			return
		}
	}
	v.l.Fail(ports, path+".ports", "all its networks are outside of this machine: its ports are reached at its own addresses there, and none is published",
		"remove ports, or give it a network with driver: bridge too")
}
