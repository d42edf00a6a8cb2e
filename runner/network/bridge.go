package network

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/failpoint"
	"github.com/orlop/orlop/runner/network/hostlock"
	"github.com/orlop/orlop/runner/network/links"
	"github.com/orlop/orlop/runner/network/pool"
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
		return n, m.SetRange(n.Name, spec.Range, spec.Range6)
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
	if err := m.firewall.Verify(); err != nil {
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
	m.cfg.Log.Warn("somebody has changed a network; it is being put right", "network", n.Name, "what", what)
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
	for _, is6 := range []bool{false, true} {
		have, want := n.family(is6), spec.family(is6)
		switch {
		case want.isOn != have.Subnet.IsValid():
			return fmt.Errorf("network %s exists with other families of addresses: remove it first", n.Name)
		case want.Subnet.IsValid() && want.Subnet.Masked() != have.Subnet:
			return fmt.Errorf("network %s exists with subnet %s, not %s: remove it first", n.Name, have.Subnet, want.Subnet)
		case want.Gateway.IsValid() && want.Gateway != have.Gateway:
			return fmt.Errorf("network %s exists with gateway %s, not %s: remove it first", n.Name, have.Gateway, want.Gateway)
		}
	}
	switch {
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
			m.enter(n, spec)
			return n, nil
		}
		if err := m.dismantle(n); err != nil {
			return Network{}, err
		}
		if spec.Subnet.IsValid() && n.Subnet.Overlaps(clash) || spec.Subnet6.IsValid() && n.Subnet6.Overlaps(clash) {
			return Network{}, pool.Refuse(clash, spec.Subnet, spec.Subnet6)
		}
		avoid = append(avoid, clash)
	}
}

// enter puts a network that was made into the books.
func (m *Manager) enter(n Network, spec Spec) {
	made := newNetwork(n)
	made.bound(spec.Range, spec.Range6)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.networks[n.Name] = made
	for _, s := range m.sandboxes { // those that were here before come back to their places
		for _, e := range s.Endpoints {
			if e.Detached && e.Network == n.Name {
				made.hold(e)
			}
		}
	}
}

// CheckNetwork says whether a network could be made in the place of the one of that
// name: before it is removed. What others take meanwhile is not known.
func (m *Manager) CheckNetwork(spec Spec) error {
	if err := checkSpec(spec); err != nil {
		return fmt.Errorf("cannot create network %s: %w", spec.Name, err)
	}
	old, _ := m.Network(spec.Name)
	taken, err := m.takenRanges(spec.IPv6)
	if err != nil {
		return err
	}
	for _, was := range []netip.Prefix{old.Subnet, old.Subnet6} {
		taken = slices.DeleteFunc(taken, func(p netip.Prefix) bool {
			return was.IsValid() && was.Overlaps(p) && was.Bits() <= p.Bits()
		})
	}
	if _, err := m.checkParent(spec); err != nil {
		return fmt.Errorf("cannot create network %s: %w", spec.Name, err)
	}
	for _, want := range []netip.Prefix{spec.Subnet, spec.Subnet6} {
		if t, clash := pool.Overlap(want, taken); clash && spec.Driver == "" {
			return fmt.Errorf("cannot create network %s: %w", spec.Name, pool.Refuse(t, want))
		}
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
	if spec.NoIPv4 && !spec.IPv6 {
		return errors.New("a network has addresses of IPv4, of IPv6 or of both")
	}
	if spec.IPv6 {
		if err := machineHasIPv6(); err != nil {
			return err
		}
	}
	for _, is6 := range []bool{false, true} {
		if err := spec.family(is6).check(is6); err != nil {
			return err
		}
	}
	return nil
}

// plan chooses the names and the range of a network.
func (m *Manager) plan(spec Spec, avoid []netip.Prefix) (Network, error) {
	taken, err := m.takenRanges(spec.IPv6)
	if err != nil {
		return Network{}, err
	}
	n := Network{Name: spec.Name, Internal: spec.Internal, Labels: spec.Labels, Options: spec.Options}
	if n.MadeParent, err = m.checkParent(spec); err != nil {
		return Network{}, err
	}
	if n.isOutside() && spec.Subnet.IsValid() { // the machine is on that network itself
		taken = slices.DeleteFunc(taken, spec.Subnet.Overlaps)
	}
	if n.isOutside() && spec.Subnet6.IsValid() {
		taken = slices.DeleteFunc(taken, spec.Subnet6.Overlaps)
	}
	if !spec.NoIPv4 {
		pick := func(taken []netip.Prefix) (netip.Prefix, error) {
			return pool.Pick4(m.pools4(), taken, pool.BitsFor(spec.Containers))
		}
		if n.Subnet, n.Gateway, err = choose(spec.Subnet, spec.Gateway, taken, avoid, pick); err != nil {
			return Network{}, err
		}
	}
	if spec.IPv6 {
		if n.Subnet6, n.Gateway6, err = choose(spec.Subnet6, spec.Gateway6, taken, avoid, m.pick6); err != nil {
			return Network{}, err
		}
	}
	n.Bridge, err = m.nameBridge(spec)
	return n, err
}

// choose is the range of a network, of one family, and its gateway.
func choose(want netip.Prefix, gateway netip.Addr, taken, avoid []netip.Prefix, pick func(taken []netip.Prefix) (netip.Prefix, error)) (netip.Prefix, netip.Addr, error) {
	subnet, err := want.Masked(), error(nil)
	if !subnet.IsValid() {
		if subnet, err = pick(slices.Concat(taken, avoid)); err != nil {
			return netip.Prefix{}, netip.Addr{}, err
		}
	} else if t, clash := pool.Overlap(subnet, taken); clash {
		return netip.Prefix{}, netip.Addr{}, pool.Refuse(t, subnet)
	}
	if !gateway.IsValid() {
		gateway = subnet.Addr().Next()
	}
	return subnet, gateway, nil
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
// networks use, those of IPv6 if they matter. The default route takes nothing.
func (m *Manager) takenRanges(is6 bool) ([]netip.Prefix, error) {
	var taken []netip.Prefix
	families := []int{netlink.FAMILY_V4}
	if is6 {
		families = append(families, netlink.FAMILY_V6)
	}
	for _, family := range families {
		routes, err := links.Dump(func() ([]netlink.Route, error) {
			return m.links.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
		})
		if err != nil {
			return nil, fmt.Errorf("cannot list the routes of this machine: %w", err)
		}
		for _, r := range routes {
			if p, ok := toPrefix(r.Dst); ok && p.Bits() > 1 {
				taken = append(taken, p)
			}
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
		for _, r := range n.ranges() {
			taken = append(taken, r.Subnet)
		}
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
	if n.isOutside() {
		return m.buildOutside(n)
	}
	if err := m.firewall.Add(n.packets()); err != nil {
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
	attrs.HardwareAddr = hardwareAddr(n.HostAddress())
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
	if err := setIPv6(n.Bridge, n.Subnet6.IsValid()); err != nil {
		return err
	}
	if n.MTU != 0 && link.Attrs().MTU != n.MTU {
		if err := m.links.LinkSetMTU(link, n.MTU); err != nil {
			return fmt.Errorf("cannot set the MTU of bridge %s to %d: %w", n.Bridge, n.MTU, err)
		}
	}
	if link.Attrs().Flags&net.FlagUp == 0 {
		if err := m.links.LinkSetUp(link); err != nil {
			return fmt.Errorf("cannot bring bridge %s up: %w", n.Bridge, err)
		}
	}
	for _, addr := range n.bridgeAddresses() {
		if err := give(m.links.AddrReplace, link, addr); err != nil {
			return err
		}
	}
	return nil
}

// hardwareAddr derives a local unicast address from an IP address, so that
// whoever gets an address again is found where the neighbours remember it.
func hardwareAddr(a netip.Addr) net.HardwareAddr {
	if a.Is6() {
		b := sha256.Sum256(a.AsSlice())
		return net.HardwareAddr{0x06, b[0], b[1], b[2], b[3], b[4]}
	}
	b := a.As4()
	return net.HardwareAddr{0x02, 0x42, b[0], b[1], b[2], b[3]}
}

// clash returns an address of another link that overlaps the network's subnets.
func (m *Manager) clash(n Network) (netip.Prefix, error) {
	if n.isOutside() {
		return netip.Prefix{}, nil
	}
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
		if ok && a.LinkIndex != link.Attrs().Index && (p.Overlaps(n.Subnet) || p.Overlaps(n.Subnet6)) {
			return p, nil
		}
	}
	return netip.Prefix{}, nil
}

// dismantle removes what build made, in whatever state it is.
func (m *Manager) dismantle(n Network) error {
	errs := []error{m.reaper.Remove(n.Bridge), m.firewall.Remove(n.packets())}
	if n.MadeParent {
		errs = append(errs, m.reaper.Remove(n.Parent))
	}
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
