package network

import "net/netip"

// Place is where an address of a sandbox is, as far as it matters to who sends it packets
// of others: those of clients elsewhere, whose answers are to come back through the machine.
type Place struct {
	Netns string // the path of its network namespace
	// Other is the sandbox's address of the other family on the same network; not valid if
	// it has none.
	Other netip.Addr
	// Links are those of the machine whose neighbours the sandbox answers directly.
	Links []string
	// Near are the ranges of its networks.
	Near []netip.Prefix
	// Why says why its answers may not come back; "" if they do.
	Why string
}

// Place finds the sandbox that has an address.
func (m *Manager) Place(addr netip.Addr) (Place, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, s := range m.sandboxes {
		for i, e := range s.Endpoints {
			if e.Detached || e.Address != addr && e.Address6 != addr {
				continue
			}
			p := Place{Netns: m.netnsPath(id), Other: e.Address6, Why: m.noAnswer(s, i, addr.Is6())}
			if addr.Is6() {
				p.Other = e.Address
			}
			for _, other := range s.Endpoints {
				n, ok := m.known(other.Network)
				switch {
				case ok && n.isOutside():
					p.Links = append(p.Links, n.Parent)
				case ok:
					p.Links = append(p.Links, n.Bridge)
				}
				for _, near := range []netip.Prefix{n.Subnet, n.Subnet6} {
					if near.IsValid() {
						p.Near = append(p.Near, near)
					}
				}
			}
			return p, true
		}
	}
	return Place{}, false
}

// Follower is told what becomes of places.
type Follower struct {
	// Changed is called when places may have become others, and before a program that may
	// change its routes joins a sandbox.
	Changed func()
	// Released is called when nothing has an address any more, before it is given away.
	Released func(netip.Addr)
}

// Follow sets the follower, once, before there are sandboxes to change.
func (m *Manager) Follow(f Follower) { m.follower = &f }

func (m *Manager) tellChanged() {
	if m.follower != nil {
		m.follower.Changed()
	}
}

// tellReleased tells that the links of endpoints are gone.
func (m *Manager) tellReleased(all ...endpoint) {
	if m.follower == nil {
		return
	}
	for _, e := range all {
		for _, addr := range []netip.Addr{e.Address, e.Address6} {
			if addr.IsValid() {
				m.follower.Released(addr)
			}
		}
	}
}

// noAnswer says why what a sandbox answers by an endpoint does not come back through the
// machine. The caller holds m.mu.
func (m *Manager) noAnswer(s *sandbox, i int, is6 bool) string {
	n, _ := m.known(s.Endpoints[i].Network)
	switch at := s.gateway(m.known, is6); {
	case s.Spec.OwnNetwork || !s.Guarded:
		return "its programs may change its routes (NET_ADMIN)"
	case n.Internal:
		return "network " + n.Name + " is internal"
	case n.isOutside():
		return "network " + n.Name + " is " + n.Driver
	case !is6 && n.NoAddress || is6 && n.NoAddress6:
		return "the machine is not the gateway of network " + n.Name
	case at != i && at >= 0:
		return "its default route leads by network " + s.Endpoints[at].Network
	case at != i:
		return "it has no default route"
	}
	return ""
}
