package values

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/tree"
)

// CheckNetwork reports the mistakes in the values of a network that is used, whose place
// in the document is path.
func CheckNetwork(r tree.Reporter, n *tree.Node, path string) {
	c := checker{r}
	has := HasFamilies(n)
	if v4 := n.Value("enable_ipv4"); !has.IPv4 && !has.IPv6 {
		c.Fail(v4, path+".enable_ipv4", "a network has addresses of IPv4, of IPv6 or of both", "write enable_ipv6: true, or remove it")
	}
	c.driver(n.Value("driver"), path+".driver")
	c.pools(n.Value("ipam").Value("config"), path+".ipam.config", has)
	options := n.Value("driver_opts")
	if driver := tree.TextAt(n, "driver"); driver == spec.DriverMacvlan || driver == spec.DriverIPvlan {
		c.outside(n, driver, path, has)
		return
	}
	if options == nil || options.Kind != tree.MapNode {
		return
	}
	for _, f := range options.Fields {
		if f.Value.Kind == tree.ScalarNode && f.Value.Text != "" {
			c.networkOption(f, path+".driver_opts", has)
		}
	}
}

// driver checks what a network is made by: its bridge.
func (c checker) driver(n *tree.Node, at string) {
	drivers := []string{spec.DriverBridge, spec.DriverMacvlan, spec.DriverIPvlan}
	if n == nil || n.Kind != tree.ScalarNode || n.Text == "" || slices.Contains(drivers, n.Text) {
		return
	}
	hint := "write driver: bridge, or remove it"
	switch n.Text {
	case spec.NetworkHost, spec.NetworkNone:
		hint = "there is one such network already: write network_mode: " + n.Text + " at the service, or external: true and name: " + n.Text + " here"
	case "overlay":
		hint = "there is one machine, on which a bridge does what an overlay does on many: " + hint
	}
	c.Fail(n, at, fmt.Sprintf("%q is not one of %s", spec.Shorten(n.Text), strings.Join(drivers, ", ")), hint)
}

// Families are those of a network's addresses.
type Families struct{ IPv4, IPv6 bool }

// HasFamilies says of which families the addresses of a network are, as its keys in the
// document say.
func HasFamilies(network *tree.Node) Families {
	return Families{IPv4: tree.TextAt(network, "enable_ipv4") != "false", IPv6: tree.TextAt(network, "enable_ipv6") == "true"}
}

// pools checks that a network has one range of addresses of each family at most.
func (c checker) pools(config *tree.Node, at string, has Families) {
	if config == nil {
		return
	}
	const most4, most6 = 30, 126
	given := map[bool]bool{}
	for i, pool := range config.Items {
		subnet := pool.Value("subnet")
		p, err := netip.ParsePrefix(tree.TextAt(pool, "subnet"))
		if err != nil {
			continue
		}
		where, is6, most := tree.Indexed(at, i)+".subnet", p.Addr().Is6(), most4
		if is6 {
			most = most6
		}
		switch {
		case is6 && !has.IPv6:
			c.Warn(subnet, where, fmt.Sprintf("%s says nothing: the network has no IPv6", p), "write enable_ipv6: true beside ipam")
		case !is6 && !has.IPv4:
			c.Warn(subnet, where, fmt.Sprintf("%s says nothing: the network has no IPv4", p), "remove enable_ipv4: false, or the range")
		case given[is6]:
			c.Fail(subnet, where, fmt.Sprintf("%s is a second range of a bridge", p), "keep one of them, or make it a network of its own")
		case is6 && p.Bits() > most:
			c.Fail(subnet, where, fmt.Sprintf("%s has no room for a gateway and a container", p), "write a range such as fd12:3456:789a:1::/64")
		case is6 && (p.Addr().Is4In6() || p.Addr().IsLinkLocalUnicast() || p.Addr().IsMulticast() || p.Addr().IsLoopback()):
			c.Fail(subnet, where, fmt.Sprintf("%s is no range for the addresses of a network", p), "write one such as fd12:3456:789a:1::/64")
		}
		given[is6] = true
	}
}

// Bounds of what may be asked for: those of IPv4 (RFC 791), of IPv6 and of the kernel's links.
const (
	minMTU  = 68
	minMTU6 = 1280 // RFC 8200, 5
	maxMTU  = 65535
)

// networkOption checks an option of Docker's bridge.
func (c checker) networkOption(f tree.Field, path string, has Families) {
	at, text := path+"."+f.Key, f.Value.Text
	fail := func(message, hint string) { c.Fail(f.Value, at, message, hint) }
	switch f.Key {
	case spec.OptBridgeName:
		c.interfaceName(f.Value, at)
	case spec.OptInterfacePrefix:
		if why := BadInterface(text + "00"); why != "" {
			fail(fmt.Sprintf("%q does not begin the names of links: %s", spec.Shorten(text), why), "write one such as lan")
		}
	case spec.OptICC, spec.OptMasquerade, spec.OptInhibitIPv4:
		if _, err := strconv.ParseBool(text); err != nil {
			fail(fmt.Sprintf("%q is not true or false", spec.Shorten(text)), "")
		}
	case spec.OptMTU:
		least := minMTU
		if has.IPv6 {
			least = minMTU6
		}
		if mtu, err := strconv.Atoi(text); err != nil || mtu < least || mtu > maxMTU {
			fail(fmt.Sprintf("%q is not the size of a packet", spec.Shorten(text)), fmt.Sprintf("%d to %d", least, maxMTU))
		}
	case spec.OptHostBinding:
		if ip, err := netip.ParseAddr(text); err != nil || !ip.Is4() {
			fail(fmt.Sprintf("%q is not an IPv4 address", spec.Shorten(text)), "write one of the host, such as 127.0.0.1")
		}
	case spec.OptGatewayMode, spec.OptGatewayMode6:
		if f.Key == spec.OptGatewayMode6 && !has.IPv6 {
			c.otherOption(f, path)
			return
		}
		switch text {
		case spec.GatewayNAT, spec.GatewayIsolated:
		case "routed", "nat-unprotected":
			fail(fmt.Sprintf("%q is not supported: others would reach the containers, or fail to, by routes of their own", text), "publish the ports that they are to reach")
		default:
			fail(fmt.Sprintf("%q is no mode of a gateway", spec.Shorten(text)), spec.DidYouMean(text, []string{spec.GatewayNAT, spec.GatewayIsolated}))
		}
	case spec.OptHostIPv4, spec.OptHostIPv6:
		if f.Key == spec.OptHostIPv6 && !has.IPv6 {
			c.otherOption(f, path)
			return
		}
		c.Fail(&tree.Node{At: f.At, Width: f.Width}, path, fmt.Sprintf("%q is not supported, and the containers would go out by another address", f.Key), "remove it")
	default:
		c.otherOption(f, path)
	}
}

// otherOption tells of an option that is not carried out and opens nothing.
func (c checker) otherOption(f tree.Field, path string) {
	key := &tree.Node{At: f.At, Width: f.Width}
	if strings.HasPrefix(f.Key, "com.docker.network.") {
		if hint := spec.DidYouMean(f.Key, spec.NetworkOptions()); hint != "" && f.Key != spec.OptDefaultBridge && f.Key != spec.OptTrustedInterface && !strings.Contains(f.Key, "ipv6") {
			c.Fail(key, path, fmt.Sprintf("unknown option %q", spec.Shorten(f.Key)), hint)
			return
		}
	}
	about := spec.Topic{Subject: path + "." + f.Key, Text: "not supported"}
	c.Unsupported(key, path, about, fmt.Sprintf("%q is not supported", f.Key), "")
}
