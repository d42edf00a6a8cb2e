package network

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/failpoint"
	"github.com/orlop/orlop/runner/network/links"
	"github.com/orlop/orlop/runner/network/netns"
)

// Exchange gives two sandboxes each other's addresses on the networks that
// both are on, but for addresses that one of them asked for: so a container
// that follows another is found where that one was, also by who has asked for
// its name only once. Their programs must not run.
func (m *Manager) Exchange(_ context.Context, idA, idB string) error {
	m.mu.Lock()
	a, b := m.sandboxes[idA], m.sandboxes[idB]
	if a == nil || b == nil || a.busy || b.busy || !a.Ready || !b.Ready {
		m.mu.Unlock()
		return fmt.Errorf("internal error: sandboxes %s and %s can't exchange addresses", shortID(idA), shortID(idB))
	}
	pairs := m.common(a, b)
	if len(pairs) == 0 {
		m.mu.Unlock()
		return nil
	}
	a.busy, b.busy, a.seen, b.seen = true, true, false, false
	m.mu.Unlock()
	m.awaitGuard()
	m.mu.Lock()
	nets := map[string]Network{}
	for name, n := range m.networks {
		nets[name] = n.Network
	}
	m.resolver.Remove(idA)
	m.resolver.Remove(idB)
	for _, p := range pairs {
		ea, eb := &a.Endpoints[p[0]], &b.Endpoints[p[1]]
		ea.Address, eb.Address = eb.Address, ea.Address
		if ea.has(true) == eb.has(true) {
			ea.Address6, eb.Address6 = eb.Address6, ea.Address6
		}
	}
	m.resolver.Add(a.host())
	m.resolver.Add(b.host())
	m.mu.Unlock()
	defer m.vacate(a, b)
	// On record first: what a crash leaves half-way is put right when adopted.
	err := errors.Join(m.recordSandbox(a), m.recordSandbox(b))
	failpoint.Hit("network/exchange-recorded")
	for i, s := range []*sandbox{a, b} {
		changed := map[int]bool{}
		for _, p := range pairs {
			changed[p[i]] = true
		}
		err = errors.Join(err, m.readdress(s, nets, changed))
	}
	if err != nil {
		return fmt.Errorf("cannot hand over the addresses of %s: %w", a.label(idA), err)
	}
	return nil
}

// common pairs the endpoints of two sandboxes that are on the same bridge with
// addresses that nobody chose. On other networks hardware addresses can't be
// exchanged while both are up. The caller holds m.mu.
func (m *Manager) common(a, b *sandbox) (pairs [][2]int) {
	for i, ea := range a.Endpoints {
		for j, eb := range b.Endpoints {
			free := a.Spec.Endpoints[i].asksForNone() && b.Spec.Endpoints[j].asksForNone()
			n, _ := m.known(ea.Network)
			if ea.Network == eb.Network && free && !ea.Detached && !eb.Detached && !n.isOutside() {
				pairs = append(pairs, [2]int{i, j})
			}
		}
	}
	return pairs
}

// asksForNone says that any free address will do.
func (e *Endpoint) asksForNone() bool { return !e.IPv4.IsValid() && !e.IPv6.IsValid() }

// readdress gives the links of a sandbox the addresses that are on record.
func (m *Manager) readdress(s *sandbox, nets map[string]Network, changed map[int]bool) error {
	path := m.netnsPath(s.ID)
	if _, err := os.Stat(path); err != nil {
		return nil // it went with a reboot, and is made anew as it is on record
	}
	return netns.In(path, func() error {
		inside, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return fmt.Errorf("cannot open a netlink socket for links: %w", err)
		}
		defer inside.Close()
		ways := s.ways(func(name string) (Network, bool) { n, ok := nets[name]; return n, ok })
		for i, e := range s.Endpoints {
			if !changed[i] || e.Detached {
				continue
			}
			if err := setAddress(inside, s, i, nets[e.Network], ways); err != nil {
				return err
			}
		}
		return nil
	})
}

// setAddress gives a link its addresses and no others, with the hardware address that
// belongs to them, so that neighbours who know it find it.
func setAddress(inside *netlink.Handle, s *sandbox, i int, n Network, ways [2]int) error {
	name := s.inside(i)
	link, err := inside.LinkByName(name)
	if err != nil {
		return fmt.Errorf("cannot find %s: %w", name, err)
	}
	have, err := links.Addresses(inside, link)
	if err != nil {
		return fmt.Errorf("cannot list the addresses of %s: %w", name, err)
	}
	for h := range have {
		if have[h].IP.To4() == nil && !s.Endpoints[i].has(true) {
			continue // its programs' own
		}
		if err := inside.AddrDel(link, &have[h]); err != nil {
			return fmt.Errorf("cannot take %s from %s: %w", have[h].IPNet, name, err)
		}
	}
	for _, addr := range s.addresses(i, n) {
		if err := give(inside.AddrAdd, link, addr); err != nil {
			return err
		}
	}
	// The bridge sends what is for that hardware address to the link that it
	// was heard from last: with this, the kernel speaks up as it changes.
	if err := os.WriteFile("/proc/sys/net/ipv4/conf/"+name+"/arp_notify", []byte("1"), 0); err != nil {
		return fmt.Errorf("cannot announce %s: %w", s.Endpoints[i].Address, err)
	}
	if s.Endpoints[i].has(true) {
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/ndisc_notify", []byte("1"), 0); err != nil {
			return fmt.Errorf("cannot announce %s: %w", s.Endpoints[i].Address6, err)
		}
	}
	if n.isOutside() {
		return routeOut(inside.RouteReplace, link, i, n, ways)
	}
	if err := inside.LinkSetHardwareAddr(link, s.hardware(i)); err != nil {
		return fmt.Errorf("cannot set the hardware address of %s: %w", name, err)
	}
	return routeOut(inside.RouteReplace, link, i, n, ways) // that of IPv6 may have stayed
}
