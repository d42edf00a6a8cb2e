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
	OptMTU              = "com.docker.network.driver.mtu"
	OptInterfacePrefix  = "com.docker.network.container_iface_prefix"
	OptHostIPv4         = "com.docker.network.host_ipv4"
	OptDefaultBridge    = "com.docker.network.bridge.default_bridge"
	OptTrustedInterface = "com.docker.network.bridge.trusted_host_interfaces"
)

// NetworkOptions are the options that are carried out.
func NetworkOptions() []string {
	return []string{OptBridgeName, OptICC, OptMasquerade, OptHostBinding, OptInhibitIPv4, OptGatewayMode, OptMTU, OptInterfacePrefix}
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
	NoAddress       bool   // the bridge has none
	HostBinding     string // of published ports that name no address
	MTU             int
	InterfacePrefix string
}

// Options are what the network's driver_opts say, which were checked.
func (n *Network) Options() BridgeOptions {
	o := BridgeOptions{Name: n.DriverOpts[OptBridgeName], HostBinding: n.DriverOpts[OptHostBinding], InterfacePrefix: n.DriverOpts[OptInterfacePrefix]}
	o.Isolated = IsFlag(n.DriverOpts[OptICC], false)
	o.NoMasquerade = IsFlag(n.DriverOpts[OptMasquerade], false)
	o.NoAddress = IsFlag(n.DriverOpts[OptInhibitIPv4], true) || n.DriverOpts[OptGatewayMode] == GatewayIsolated
	if o.HostBinding == "0.0.0.0" {
		o.HostBinding = ""
	}
	o.MTU, _ = strconv.Atoi(n.DriverOpts[OptMTU])
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
	o, all := n.Options(), map[string]string{}
	for key, value := range map[string]string{OptBridgeName: o.Name, OptHostBinding: o.HostBinding, OptInterfacePrefix: o.InterfacePrefix} {
		if value != "" {
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
	return all
}

// Names of networks that are no bridges: that of the machine, and none.
const (
	NetworkHost = "host"
	NetworkNone = "none"
)

// Pool is the range of a network's IPv4 addresses, as far as the stack file says; the
// zero value says nothing. Those of IPv6 are left aside.
func (n *Network) Pool() IPAMPool {
	if n.IPAM == nil {
		return IPAMPool{}
	}
	for _, pool := range n.IPAM.Config {
		if p, err := netip.ParsePrefix(pool.Subnet); err != nil || p.Addr().Is4() {
			return pool
		}
	}
	return IPAMPool{}
}
