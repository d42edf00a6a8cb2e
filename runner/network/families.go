package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/runner/network/firewall"
	"github.com/orlop/orlop/runner/network/ownrange"
	"github.com/orlop/orlop/runner/network/pool"
)

// addressRange is what a network has of one family.
type addressRange struct {
	Subnet  netip.Prefix
	Gateway netip.Addr
}

// wanted is what a network is to have of one family.
type wanted struct {
	addressRange
	within netip.Prefix
	isOn   bool
}

func (n *Network) family(is6 bool) addressRange {
	if is6 {
		return addressRange{n.Subnet6, n.Gateway6}
	}
	return addressRange{n.Subnet, n.Gateway}
}

func (spec *Spec) family(is6 bool) wanted {
	if is6 {
		return wanted{addressRange{spec.Subnet6, spec.Gateway6}, spec.Range6, spec.IPv6}
	}
	return wanted{addressRange{spec.Subnet, spec.Gateway}, spec.Range, !spec.NoIPv4}
}

// ranges are those of the network: one at least, that of IPv4 first.
func (n *Network) ranges() (list []addressRange) {
	for _, is6 := range []bool{false, true} {
		if r := n.family(is6); r.Subnet.IsValid() {
			list = append(list, r)
		}
	}
	return list
}

// HostAddress is the machine's on the network, that of IPv4 if it has both.
func (n *Network) HostAddress() netip.Addr { return n.ranges()[0].Gateway }

// Subnets are its subnets as they are told, that of IPv4 first.
func (n *Network) Subnets() string {
	var list []string
	for _, r := range n.ranges() {
		list = append(list, r.Subnet.String())
	}
	return strings.Join(list, ", ")
}

// packets is the network as its packets see it.
func (n *Network) packets() firewall.Network {
	p := firewall.Network{Bridge: n.Bridge, Internal: n.Internal, Isolated: n.Isolated, NoMasquerade: n.NoMasquerade}
	for _, r := range n.ranges() {
		p.Subnets = append(p.Subnets, r.Subnet)
	}
	return p
}

// check says why no network can have that.
func (w wanted) check(is6 bool) error {
	most := 30
	if is6 {
		most = 126
	}
	switch {
	case !w.Subnet.IsValid() && w.Gateway.IsValid():
		return fmt.Errorf("gateway %s needs a subnet", w.Gateway)
	case !w.Subnet.IsValid():
	case !w.isOn:
		return fmt.Errorf("subnet %s is of addresses that the network has none of", w.Subnet)
	case w.Subnet.Addr().Is6() != is6:
		return fmt.Errorf("internal error: subnet %s is of the other family", w.Subnet)
	case w.Subnet.Bits() > most:
		return fmt.Errorf("subnet %s has no room for a gateway and a container", w.Subnet)
	case w.Gateway.IsValid() && !w.Subnet.Contains(w.Gateway):
		return fmt.Errorf("gateway %s is not in subnet %s", w.Gateway, w.Subnet)
	}
	return checkRange(w.Subnet, w.within)
}

// newNetwork is a network of which nobody has an address.
func newNetwork(n Network) *network {
	made := &network{Network: n}
	if n.Subnet.IsValid() {
		made.addrs = pool.New(n.Subnet, n.Gateway, n.Aux...)
	}
	if n.Subnet6.IsValid() {
		made.addrs6 = pool.New(n.Subnet6, n.Gateway6, n.Aux...)
	}
	return made
}

// bound sets what is handed out to who asks for no address; the zero Prefix is all.
func (n *network) bound(within, within6 netip.Prefix) {
	if n.addrs != nil {
		n.addrs.Bound(within)
	}
	if n.addrs6 != nil {
		n.addrs6.Bound(within6)
	}
}

// hold notes that an endpoint has its addresses.
func (n *network) hold(e endpoint) {
	if n.addrs != nil && e.Address.IsValid() {
		n.addrs.Hold(e.Address)
	}
	if n.addrs6 != nil && e.Address6.IsValid() {
		n.addrs6.Hold(e.Address6)
	}
}

// give gives the addresses of an endpoint back.
func (n *network) give(e endpoint) {
	if n.addrs != nil && e.Address.IsValid() {
		n.addrs.Give(e.Address)
	}
	if n.addrs6 != nil && e.Address6.IsValid() {
		n.addrs6.Give(e.Address6)
	}
}

// take gives an endpoint an address of each family that the network has, and none of
// another. Those that it has already are kept. Who is named in the error has what was
// asked for.
func (m *Manager) take(n *network, e *endpoint, want Endpoint) error {
	isReserved := func(a netip.Addr) bool { return m.isReserved(n.Name, a) }
	one := func(from *pool.Pool, have *netip.Addr, want netip.Addr, family string) (err error) {
		switch {
		case from == nil && want.IsValid():
			return fmt.Errorf("address %s: the network has no %s", want, family)
		case from == nil:
			*have = netip.Addr{}
		case !have.IsValid():
			if *have, err = from.Take(want, isReserved); err != nil {
				if who := m.holder(n.Name, want); who != "" {
					err = fmt.Errorf("%w by %s", err, who)
				}
			}
		}
		return err
	}
	was, from6 := *e, n.addrs6
	if want.NoIPv6 {
		from6 = nil
	}
	if n.addrs == nil && from6 == nil {
		return errors.New("it has addresses of IPv6 alone, which is switched off (sysctls)")
	}
	if err := one(n.addrs, &e.Address, want.IPv4, "IPv4"); err != nil {
		return err
	}
	err := one(from6, &e.Address6, want.IPv6, "IPv6")
	if err != nil && n.addrs != nil && !was.Address.IsValid() {
		n.addrs.Give(e.Address)
	}
	return err
}

// pools4 are the ranges of IPv4 that networks are picked from.
func (m *Manager) pools4() []netip.Prefix {
	if list := m.poolsOf(false); len(list) > 0 {
		return list
	}
	return pool.Default()
}

func (m *Manager) poolsOf(is6 bool) (list []netip.Prefix) {
	for _, p := range m.cfg.Pools {
		if p.Addr().Is6() == is6 {
			list = append(list, p)
		}
	}
	return list
}

// pick6 picks a range of IPv6.
func (m *Manager) pick6(taken []netip.Prefix) (netip.Prefix, error) {
	list := m.poolsOf(true)
	if len(list) == 0 {
		own, err := ownrange.Of(m.cfg.OwnRange)
		if err != nil {
			return netip.Prefix{}, err
		}
		list = append(list, own)
	}
	return pool.Pick6(list, taken)
}

// ErrNoIPv6 is the error of a machine that has no IPv6 to give.
var ErrNoIPv6 = errors.New("this machine has no IPv6")

// machineHasIPv6 says why a network can have no IPv6.
func machineHasIPv6() error {
	const all = "/proc/sys/net/ipv6/conf/all/disable_ipv6"
	value, err := os.ReadFile(all)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("%w: its kernel was built or started without it", ErrNoIPv6)
	case err != nil:
		return fmt.Errorf("cannot tell whether this machine has IPv6: %w", err)
	case strings.TrimSpace(string(value)) != "0":
		return fmt.Errorf("%w: it is switched off there (sysctl net.ipv6.conf.all.disable_ipv6=0 switches it on)", ErrNoIPv6)
	}
	return nil
}

// setIPv6 switches IPv6 of a link on, in the network namespace of the calling thread,
// or off: no rule of ours expects link-local addresses where there are no others. All
// of its addresses are given to it, at once, and stay while it is down; who is next to
// it can give it neither addresses nor routes (accept_ra, accept_redirects).
func setIPv6(link string, on bool) error {
	settings := [][2]string{{"disable_ipv6", "1"}}
	if on {
		settings = [][2]string{
			{"accept_ra", "0"}, {"autoconf", "0"}, {"accept_redirects", "0"}, {"accept_dad", "0"}, {"addr_gen_mode", "1"}, {"keep_addr_on_down", "1"},
			{"disable_ipv6", "0"},
		}
	}
	for _, s := range settings {
		err := os.WriteFile("/proc/sys/net/ipv6/conf/"+link+"/"+s[0], []byte(s[1]), 0)
		if err != nil && (on || !errors.Is(err, os.ErrNotExist)) { // a kernel without IPv6 has no such file
			return fmt.Errorf("cannot set net.ipv6.conf.%s.%s to %s: %w", link, s[0], s[1], err)
		}
	}
	return nil
}

// linkLocal6 is the link-local address that belongs to a hardware address (RFC 4291,
// appendix A).
func linkLocal6(mac net.HardwareAddr) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: mac[0] ^ 2, 9: mac[1], 10: mac[2], 11: 0xff, 12: 0xfe, 13: mac[3], 14: mac[4], 15: mac[5]}), 64)
}

// bridgeAddresses are those of the network's bridge.
func (n *Network) bridgeAddresses() (list []netip.Prefix) {
	if n.Subnet.IsValid() && !n.NoAddress {
		list = append(list, netip.PrefixFrom(n.Gateway, n.Subnet.Bits()))
	}
	if n.Subnet6.IsValid() && !n.NoAddress6 {
		list = append(list, netip.PrefixFrom(n.Gateway6, n.Subnet6.Bits()), linkLocal6(hardwareAddr(n.HostAddress())))
	}
	return list
}

// give gives an address to a link. Nobody is asked whether he has it: who has which is
// in our books, and the answer would be waited for.
func give(by func(netlink.Link, *netlink.Addr) error, link netlink.Link, addr netip.Prefix) error {
	a := &netlink.Addr{IPNet: toIPNet(addr.Addr(), addr.Bits())}
	if addr.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	if err := by(link, a); err != nil {
		return fmt.Errorf("cannot give %s to %s: %w", addr.Addr(), link.Attrs().Name, err)
	}
	return nil
}
