package spec

import (
	"net/netip"
	"strconv"
	"strings"
)

// Options of a network ("driver_opts"), as Docker's bridge has them.
const (
	OptBridgeName       = "com.docker.network.bridge.name"
	OptICC              = "com.docker.network.bridge.enable_icc"
	OptMasquerade       = "com.docker.network.bridge.enable_ip_masquerade"
	OptHostBinding      = "com.docker.network.bridge.host_binding_ipv4"
	OptInhibitIPv4      = "com.docker.network.bridge.inhibit_ipv4"
	OptGatewayMode      = "com.docker.network.bridge.gateway_mode_ipv4"
	OptGatewayMode6     = "com.docker.network.bridge.gateway_mode_ipv6"
	OptMTU              = "com.docker.network.driver.mtu"
	OptInterfacePrefix  = "com.docker.network.container_iface_prefix"
	OptHostIPv4         = "com.docker.network.host_ipv4"
	OptHostIPv6         = "com.docker.network.host_ipv6"
	OptDefaultBridge    = "com.docker.network.bridge.default_bridge"
	OptTrustedInterface = "com.docker.network.bridge.trusted_host_interfaces"
)

// NetworkOptions are the options that are carried out.
func NetworkOptions() []string {
	return []string{OptBridgeName, OptICC, OptMasquerade, OptHostBinding, OptInhibitIPv4, OptGatewayMode, OptGatewayMode6, OptMTU, OptInterfacePrefix}
}

// Options of networks that are no bridges, as Docker has them.
const (
	OptParent      = "parent" // a link of the machine
	OptMacvlanMode = "macvlan_mode"
	OptIPvlanMode  = "ipvlan_mode"
	OptIPvlanFlag  = "ipvlan_flag"
)

// MacvlanPassthru is the mode of a macvlan with one link, which has its parent's hardware
// address.
const MacvlanPassthru = "passthru"

// Drivers of networks.
const (
	DriverBridge  = "bridge"
	DriverMacvlan = "macvlan"
	DriverIPvlan  = "ipvlan"
)

// OutsideOptions are the options of a driver that is no bridge, and the words that each
// may have; none means any.
func OutsideOptions(driver string) map[string][]string {
	all := map[string][]string{OptParent: nil, OptMTU: nil, OptInterfacePrefix: nil}
	switch driver {
	case DriverMacvlan:
		all[OptMacvlanMode] = []string{"bridge", "private", "vepa", MacvlanPassthru}
	case DriverIPvlan:
		all[OptIPvlanMode] = []string{"l2", "l3", "l3s"}
		all[OptIPvlanFlag] = []string{"bridge", "private", "vepa"}
	}
	return all
}

// Outside is the driver of a network on which containers are beside the machine, on a
// network that one of its links leads to; "" is a bridge.
func (n *Network) Outside() string {
	if n.Driver == DriverMacvlan || n.Driver == DriverIPvlan {
		return n.Driver
	}
	return ""
}

// Modes of a gateway.
const (
	GatewayNAT      = "nat"
	GatewayIsolated = "isolated" // the bridge has no address
)

// BridgeOptions are what the options of a network make of it; the zero value is
// the default.
type BridgeOptions struct {
	Name            string // of the bridge
	Isolated        bool   // its containers don't reach each other
	NoMasquerade    bool   // they keep their addresses on the way out
	NoAddress       bool   // the bridge has none of IPv4
	NoAddress6      bool   // and none of IPv6
	HostBinding     string // of published ports that name no address
	MTU             int
	InterfacePrefix string
	// Parent, Mode and Flag are those of a network that is no bridge.
	Parent, Mode, Flag string
}

// Options are what the network's driver_opts say, which were checked.
func (n *Network) Options() BridgeOptions {
	o := BridgeOptions{Name: n.DriverOpts[OptBridgeName], HostBinding: n.DriverOpts[OptHostBinding], InterfacePrefix: n.DriverOpts[OptInterfacePrefix]}
	o.Isolated = IsFlag(n.DriverOpts[OptICC], false)
	o.NoMasquerade = IsFlag(n.DriverOpts[OptMasquerade], false)
	o.NoAddress = IsFlag(n.DriverOpts[OptInhibitIPv4], true) || n.DriverOpts[OptGatewayMode] == GatewayIsolated
	o.NoAddress6 = n.HasIPv6() && n.DriverOpts[OptGatewayMode6] == GatewayIsolated
	if o.HostBinding == "0.0.0.0" {
		o.HostBinding = ""
	}
	o.MTU, _ = strconv.Atoi(n.DriverOpts[OptMTU])
	switch outside := (BridgeOptions{MTU: o.MTU, InterfacePrefix: o.InterfacePrefix, Parent: n.DriverOpts[OptParent]}); n.Outside() {
	case DriverMacvlan:
		outside.Mode = n.DriverOpts[OptMacvlanMode]
		return outside
	case DriverIPvlan:
		outside.Mode, outside.Flag = n.DriverOpts[OptIPvlanMode], n.DriverOpts[OptIPvlanFlag]
		return outside
	}
	return o
}

// IsFlag says that a text is a truth value, and that one: as Docker reads an option.
func IsFlag(text string, want bool) bool {
	is, err := strconv.ParseBool(strings.TrimSpace(text))
	return err == nil && is == want
}

// Effective are the options of a network that make it another than it is without
// any, in one form.
func (n *Network) Effective() map[string]string {
	o, all, mode := n.Options(), map[string]string{}, OptMacvlanMode
	if n.Outside() == DriverIPvlan {
		mode = OptIPvlanMode
	}
	usual := map[string]string{OptMacvlanMode: "bridge", OptIPvlanMode: "l2", OptIPvlanFlag: "bridge"}
	for key, value := range map[string]string{OptBridgeName: o.Name, OptHostBinding: o.HostBinding, OptInterfacePrefix: o.InterfacePrefix, OptParent: o.Parent, mode: o.Mode, OptIPvlanFlag: o.Flag} {
		if value != "" && value != usual[key] {
			all[key] = value
		}
	}
	if o.MTU != 0 {
		all[OptMTU] = strconv.Itoa(o.MTU)
	}
	for key, value := range map[string]bool{OptICC: o.Isolated, OptMasquerade: o.NoMasquerade} {
		if value {
			all[key] = "false"
		}
	}
	if o.NoAddress {
		all[OptInhibitIPv4] = "true"
	}
	if o.NoAddress6 {
		all[OptGatewayMode6] = GatewayIsolated
	}
	return all
}

// Names of networks that are no bridges: that of the machine, and none.
const (
	NetworkHost = "host"
	NetworkNone = "none"
)

// HasIPv4 says that the containers of a network have addresses of IPv4.
func (n *Network) HasIPv4() bool { return n.EnableIPv4 == nil || *n.EnableIPv4 }

// HasIPv6 says that they have addresses of IPv6.
func (n *Network) HasIPv6() bool { return n.EnableIPv6 != nil && *n.EnableIPv6 }

// Pools are the ranges that the stack file gives a network, as they stand there.
func (n *Network) Pools() []IPAMPool {
	if n.IPAM == nil {
		return nil
	}
	return n.IPAM.Config
}

// Pool is the range of a network's IPv4 addresses, as far as the stack file says; the
// zero value says nothing.
func (n *Network) Pool() IPAMPool { return n.pool(n.HasIPv4(), netip.Addr.Is4) }

// Pool6 is that of its IPv6 addresses.
func (n *Network) Pool6() IPAMPool { return n.pool(n.HasIPv6(), netip.Addr.Is6) }

// pool is the first range of a family, if the network has that. One without a subnet
// is of IPv4.
func (n *Network) pool(has bool, is func(netip.Addr) bool) IPAMPool {
	if !has {
		return IPAMPool{}
	}
	for _, pool := range n.Pools() {
		p, err := netip.ParsePrefix(pool.Subnet)
		if err == nil && is(p.Addr()) || err != nil && is(netip.IPv4Unspecified()) {
			return pool
		}
	}
	return IPAMPool{}
}
