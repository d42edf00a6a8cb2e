package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/failpoint"
	"github.com/orlop/orlop/runner/network/hostlock"
	"github.com/orlop/orlop/runner/network/links"
)

// EnsureNetwork makes a network, or returns the one of that name if it is as
// the spec wants it. One that differs is an error: the caller removes it first.
func (m *Manager) EnsureNetwork(ctx context.Context, spec Spec) (Network, error) {
	m.netMu.Lock()
	defer m.netMu.Unlock()
	if n, ok := m.Network(spec.Name); ok {
		if err := differs(n, spec); err != nil {
			return Network{}, err
		}
		if err := m.verify(ctx, n); err != nil {
			return Network{}, fmt.Errorf("cannot repair network %s: %w", n.Name, err)
		}
		return n, m.SetRange(n.Name, spec.Range)
	}
	n, err := m.createNetwork(ctx, spec)
	if err != nil {
		return Network{}, fmt.Errorf("cannot create network %s: %w", spec.Name, err)
	}
	return n, nil
}

// Network returns the network of a name.
func (m *Manager) Network(name string) (Network, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n, ok := m.networks[name]; ok {
		return n.Network, true
	}
	return Network{}, false
}

// verify puts back what somebody else took from a network: its bridge with the
// links to it, the firewall's table, the way through the host's firewall.
func (m *Manager) verify(ctx context.Context, n Network) error {
	unlock, err := hostlock.Take(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := m.firewall.verify(); err != nil {
		return err
	}
	host, err := links.At(m.links)
	if err != nil {
		return err
	}
	what := missingOf(n, host)
	if what == "" {
		return nil
	}
	m.cfg.Log.Warn("somebody has changed a network; it is put right", "network", n.Name, "what", what)
	if err := m.rebuildBridge(n); err != nil {
		return err
	}
	links, err := m.ourLinks()
	if err != nil {
		return err
	}
	for _, s := range m.ready() {
		for i, e := range s.Endpoints {
			if e.Network == n.Name {
				if err := m.adoptEndpoint(s, i, e, links); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func differs(n Network, spec Spec) error {
	switch {
	case spec.Subnet.IsValid() && spec.Subnet.Masked() != n.Subnet:
		return fmt.Errorf("network %s exists with subnet %s, not %s: remove it first", n.Name, n.Subnet, spec.Subnet)
	case spec.Gateway.IsValid() && spec.Gateway != n.Gateway:
		return fmt.Errorf("network %s exists with gateway %s, not %s: remove it first", n.Name, n.Gateway, spec.Gateway)
	case spec.Internal != n.Internal:
		return fmt.Errorf("network %s exists with internal: %t: remove it first", n.Name, n.Internal)
	case !reflect.DeepEqual(spec.Options, n.Options) || spec.Bridge != "" && spec.Bridge != n.Bridge:
		return fmt.Errorf("network %s exists with other options: remove it first", n.Name)
	}
	return nil
}

// createNetwork makes the bridge and opens the firewall for it. Picking a range
// and taking it is done under the host's lock, so that engines cannot pick the
// same; a foreign program that takes it meanwhile is noticed afterwards.
func (m *Manager) createNetwork(ctx context.Context, spec Spec) (Network, error) {
	if err := checkSpec(spec); err != nil {
		return Network{}, err
	}
	unlock, err := hostlock.Take(ctx)
	if err != nil {
		return Network{}, err
	}
	defer unlock()
	var avoid []netip.Prefix
	for {
		n, err := m.plan(spec, avoid)
		if err != nil {
			return Network{}, err
		}
		if err := m.build(n); err != nil {
			return Network{}, errors.Join(err, m.dismantle(n))
		}
		clash, err := m.clash(n)
		if err != nil {
			return Network{}, errors.Join(err, m.dismantle(n))
		}
		if !clash.IsValid() {
			addrs := newAddrPool(n.Subnet, n.Gateway, n.Aux...)
			addrs.bound(spec.Range)
			m.mu.Lock()
			m.networks[n.Name] = &network{n, addrs}
			for _, s := range m.sandboxes { // those that were here before come back to their places
				for _, e := range s.Endpoints {
					if e.Detached && e.Network == n.Name {
						addrs.used[e.Address] = true
					}
				}
			}
			m.mu.Unlock()
			return n, nil
		}
		if err := m.dismantle(n); err != nil {
			return Network{}, err
		}
		if spec.Subnet.IsValid() {
			return Network{}, fmt.Errorf("subnet %s overlaps %s, which this machine uses: choose another", n.Subnet, clash)
		}
		avoid = append(avoid, n.Subnet)
	}
}

// CheckNetwork says whether a network could be made in the place of the one of that
// name: before it is removed. What others take meanwhile is not known.
func (m *Manager) CheckNetwork(spec Spec) error {
	if err := checkSpec(spec); err != nil {
		return fmt.Errorf("cannot create network %s: %w", spec.Name, err)
	}
	old, _ := m.Network(spec.Name)
	taken, err := m.takenRanges()
	if err != nil {
		return err
	}
	taken = slices.DeleteFunc(taken, func(p netip.Prefix) bool {
		return old.Subnet.IsValid() && old.Subnet.Overlaps(p) && old.Subnet.Bits() <= p.Bits()
	})
	if t, clash := firstOverlap(spec.Subnet.Masked(), taken); spec.Subnet.IsValid() && clash {
		return fmt.Errorf("cannot create network %s: subnet %s overlaps %s, which this machine uses: choose another", spec.Name, spec.Subnet, t)
	}
	if spec.Bridge == old.Bridge {
		return nil
	}
	if err := m.freeBridge(spec); err != nil {
		return fmt.Errorf("cannot create network %s: %w", spec.Name, err)
	}
	return nil
}

func checkSpec(spec Spec) error {
	if !spec.Subnet.IsValid() {
		if spec.Gateway.IsValid() {
			return fmt.Errorf("gateway %s needs a subnet", spec.Gateway)
		}
		return checkRange(spec.Subnet, spec.Range)
	}
	switch {
	case !spec.Subnet.Addr().Is4():
		return fmt.Errorf("subnet %s: IPv6 is not supported yet", spec.Subnet)
	case spec.Subnet.Bits() > 30:
		return fmt.Errorf("subnet %s has no room for a gateway and a container", spec.Subnet)
	case spec.Gateway.IsValid() && !spec.Subnet.Contains(spec.Gateway):
		return fmt.Errorf("gateway %s is not in subnet %s", spec.Gateway, spec.Subnet)
	}
	return checkRange(spec.Subnet, spec.Range)
}

// plan chooses the names and the range of a network.
func (m *Manager) plan(spec Spec, avoid []netip.Prefix) (Network, error) {
	taken, err := m.takenRanges()
	if err != nil {
		return Network{}, err
	}
	subnet := spec.Subnet.Masked()
	if !subnet.IsValid() {
		if subnet, err = pickSubnet(m.cfg.Pools, append(taken, avoid...), bitsFor(spec.Containers)); err != nil {
			return Network{}, err
		}
	} else if t, clash := firstOverlap(subnet, taken); clash {
		return Network{}, fmt.Errorf("subnet %s overlaps %s, which this machine uses: choose another", subnet, t)
	}
	gateway := spec.Gateway
	if !gateway.IsValid() {
		gateway = subnet.Addr().Next()
	}
	bridge, err := m.nameBridge(spec)
	return Network{
		Name: spec.Name, Bridge: bridge, Subnet: subnet, Gateway: gateway,
		Internal: spec.Internal, Labels: spec.Labels, Options: spec.Options,
	}, err
}

// nameBridge is what the bridge of a network is to be called. A link of that name that
// is there is somebody else's, and is left alone.
func (m *Manager) nameBridge(spec Spec) (string, error) {
	if spec.Bridge == "" {
		return m.newLinkName("b"), nil
	}
	if err := m.freeBridge(spec); err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.linkNames[spec.Bridge] = true
	return spec.Bridge, nil
}

// freeBridge complains of a name for a bridge that another link has.
func (m *Manager) freeBridge(spec Spec) error {
	if spec.Bridge == "" {
		return nil
	}
	_, err := m.links.LinkByName(spec.Bridge)
	_, isFree := errors.AsType[netlink.LinkNotFoundError](err)
	switch {
	case err == nil || m.isOurs(spec.Bridge):
		return fmt.Errorf("this machine has a link called %s: choose another name for the bridge", spec.Bridge)
	case !isFree:
		return fmt.Errorf("cannot tell whether this machine has a link called %s: %w", spec.Bridge, err)
	}
	return nil
}

// takenRanges are the ranges that the host's routes, addresses and our own
// networks use. The default route takes nothing.
func (m *Manager) takenRanges() ([]netip.Prefix, error) {
	var taken []netip.Prefix
	routes, err := links.Dump(func() ([]netlink.Route, error) {
		return m.links.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return nil, fmt.Errorf("cannot list the routes of this machine: %w", err)
	}
	for _, r := range routes {
		if p, ok := toPrefix(r.Dst); ok && p.Bits() > 1 {
			taken = append(taken, p)
		}
	}
	addrs, err := links.Addresses(m.links, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot list the addresses of this machine: %w", err)
	}
	for _, a := range addrs {
		if p, ok := toPrefix(a.IPNet); ok {
			taken = append(taken, p)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range m.networks {
		taken = append(taken, n.Subnet)
	}
	return taken, nil
}

func toPrefix(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	addr, ok := netip.AddrFromSlice(n.IP)
	ones, _ := n.Mask.Size()
	if !ok {
		return netip.Prefix{}, false
	}
	p := netip.PrefixFrom(addr.Unmap(), ones).Masked()
	return p, p.IsValid()
}

func toIPNet(addr netip.Addr, bits int) *net.IPNet {
	return &net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(bits, addr.BitLen())}
}

// build makes what a network consists of on the host: its record, its bridge,
// its place in the firewall. Called again, it completes what is missing.
func (m *Manager) build(n Network) error {
	if err := m.writeRecord(networksDir, n.Bridge, n); err != nil {
		return err
	}
	failpoint.Hit("network/bridge-recorded")
	if err := m.firewall.add(n); err != nil {
		return err
	}
	// The kernel may bring the bridge up as it makes it; its address comes last.
	return m.buildBridge(n)
}

func (m *Manager) buildBridge(n Network) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = n.Bridge
	attrs.Flags = net.FlagUp
	// A bridge without an address of its own takes that of its lowest port,
	// and changes it as ports come and go.
	attrs.HardwareAddr = hardwareAddr(n.Gateway)
	bridge := &netlink.Bridge{LinkAttrs: attrs}
	err := m.links.LinkAdd(bridge)
	if errors.Is(err, unix.EEXIST) {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("cannot make bridge %s: %w", n.Bridge, err)
	}
	link, err := m.links.LinkByName(n.Bridge)
	if err != nil {
		return fmt.Errorf("cannot find bridge %s: %w", n.Bridge, err)
	}
	if err := noIPv6(n.Bridge); err != nil {
		return err
	}
	if n.MTU != 0 && link.Attrs().MTU != n.MTU {
		if err := m.links.LinkSetMTU(link, n.MTU); err != nil {
			return fmt.Errorf("cannot set the MTU of bridge %s to %d: %w", n.Bridge, n.MTU, err)
		}
	}
	addr := &netlink.Addr{IPNet: toIPNet(n.Gateway, n.Subnet.Bits())}
	if !n.NoAddress {
		if err := m.links.AddrReplace(link, addr); err != nil {
			return fmt.Errorf("cannot give %s to bridge %s: %w", n.Gateway, n.Bridge, err)
		}
	}
	if link.Attrs().Flags&net.FlagUp == 0 {
		if err := m.links.LinkSetUp(link); err != nil {
			return fmt.Errorf("cannot bring bridge %s up: %w", n.Bridge, err)
		}
	}
	return nil
}

// noIPv6 keeps link-local IPv6, which no rule of ours expects, off a link.
func noIPv6(link string) error {
	err := os.WriteFile("/proc/sys/net/ipv6/conf/"+link+"/disable_ipv6", []byte("1"), 0)
	if err != nil && !errors.Is(err, os.ErrNotExist) { // a kernel without IPv6 has no such file
		return fmt.Errorf("cannot keep IPv6 off %s: %w", link, err)
	}
	return nil
}

// hardwareAddr derives a local unicast address from an IPv4 address, so that
// whoever gets an address again is found where the neighbours remember it.
func hardwareAddr(a netip.Addr) net.HardwareAddr {
	b := a.As4()
	return net.HardwareAddr{0x02, 0x42, b[0], b[1], b[2], b[3]}
}

// clash returns an address of another link that overlaps the network's subnet.
func (m *Manager) clash(n Network) (netip.Prefix, error) {
	link, err := m.links.LinkByName(n.Bridge)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("bridge %s is gone: %w", n.Bridge, err)
	}
	addrs, err := links.Addresses(m.links, nil)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("cannot list the addresses of this machine: %w", err)
	}
	for _, a := range addrs {
		p, ok := toPrefix(a.IPNet)
		if ok && a.LinkIndex != link.Attrs().Index && p.Overlaps(n.Subnet) {
			return p, nil
		}
	}
	return netip.Prefix{}, nil
}

// dismantle removes what build made, in whatever state it is.
func (m *Manager) dismantle(n Network) error {
	errs := []error{m.reaper.Remove(n.Bridge), m.firewall.remove(n)}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	failpoint.Hit("network/bridge-removed")
	m.mu.Lock()
	delete(m.linkNames, n.Bridge)
	m.mu.Unlock()
	return m.removeRecord(networksDir, n.Bridge)
}

// RemoveNetwork removes a network that no sandbox uses. One that is not there
// is no error.
func (m *Manager) RemoveNetwork(ctx context.Context, name string) error {
	m.netMu.Lock()
	defer m.netMu.Unlock()
	m.mu.Lock()
	n, ok := m.networks[name]
	if !ok {
		m.mu.Unlock()
		return nil
	}
	users := m.usersOf(name)
	if len(users) == 0 {
		delete(m.networks, name)
	}
	m.mu.Unlock()
	if len(users) > 0 {
		return fmt.Errorf("cannot remove network %s: in use by %s", name, strings.Join(users, ", "))
	}
	unlock, err := hostlock.Take(ctx)
	if err == nil {
		defer unlock()
		err = m.dismantle(n.Network)
	}
	if err != nil {
		m.mu.Lock()
		m.networks[name] = n
		m.mu.Unlock()
		return fmt.Errorf("cannot remove network %s: %w", name, err)
	}
	return nil
}

// usersOf names the sandboxes on a network. The caller holds m.mu.
func (m *Manager) usersOf(network string) []string {
	var users []string
	for id, s := range m.sandboxes {
		for _, e := range s.Endpoints {
			if e.Network == network && !e.Detached {
				users = append(users, s.label(id))
			}
		}
	}
	slices.Sort(users)
	return users
}
