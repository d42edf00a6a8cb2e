package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/runner/network/netns"
	"github.com/orlop/orlop/runner/network/pool"
)

// Detach takes a sandbox off a network while its programs run, so that the
// network can be removed. Its place is kept for Attach: the address, should the
// network come back with a subnet that has it, and the aliases. A sandbox that is
// not on the network is no error.
func (m *Manager) Detach(_ context.Context, id, network string) error {
	s, i, err := m.occupy(id, network)
	if s == nil || err != nil {
		return err
	}
	m.awaitGuard()
	defer m.vacate(s)
	m.mu.Lock()
	m.resolver.Remove(id)
	s.Endpoints[i].Detached = true
	m.resolver.Add(s.host())
	e, name := s.Endpoints[i], s.inside(i)
	m.mu.Unlock()
	// On record first: a link that a crash leaves is removed when adopted.
	err = errors.Join(m.recordSandbox(s), m.unlink(s, e, name), m.reroute(s))
	m.tellReleased(e)
	if err != nil {
		return fmt.Errorf("cannot detach %s from network %s: %w", s.label(id), network, err)
	}
	return nil
}

// Attach gives a sandbox its place on a network back. It says whether the address
// is another one, as the old one is none of the network's any more. A sandbox
// that is attached already is no error, nor is one that is not there.
func (m *Manager) Attach(_ context.Context, id, network string) (moved bool, err error) {
	s, i, err := m.occupy(id, network)
	if s == nil || err != nil {
		return false, err
	}
	m.awaitGuard()
	defer m.vacate(s)
	if moved, err = m.reattach(s, i); err != nil {
		return false, fmt.Errorf("cannot attach %s to network %s: %w", s.label(id), network, err)
	}
	return moved, nil
}

// Has says that a sandbox has a place on a network, be it detached from it or not.
func (m *Manager) Has(id, network string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.sandboxes[id]
	return s != nil && s.place(network) >= 0
}

// Detached lists the sandboxes that wait for a network to come back.
func (m *Manager) Detached(network string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var ids []string
	for id, s := range m.sandboxes {
		if slices.ContainsFunc(s.Endpoints, func(e endpoint) bool { return e.Detached && e.Network == network }) {
			ids = append(ids, id)
		}
	}
	return ids
}

// occupy marks a sandbox as being changed, and finds its place on a network;
// there is no sandbox where there is no such place.
func (m *Manager) occupy(id, network string) (*sandbox, int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.sandboxes[id]
	if !ok {
		return nil, 0, nil
	}
	i := s.place(network)
	switch {
	case i < 0:
		return nil, 0, nil
	case s.busy || !s.Ready:
		return nil, 0, fmt.Errorf("%s is just being connected or disconnected: try again", s.label(id))
	}
	s.busy, s.seen = true, false
	return s, i, nil
}

// vacate lets others change sandboxes again, and look at them. What was changed by then
// is no damage.
func (m *Manager) vacate(all ...*sandbox) {
	_ = m.hear()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range all {
		s.busy = false
	}
}

// reattach makes the link of a detached endpoint again. Nobody else changes the
// sandbox meanwhile.
func (m *Manager) reattach(s *sandbox, i int) (moved bool, err error) {
	m.mu.Lock()
	e := s.Endpoints[i]
	n, ok := m.networks[e.Network]
	switch {
	case !e.Detached:
		m.mu.Unlock()
		return false, nil
	case !ok:
		m.mu.Unlock()
		return false, fmt.Errorf("there is no network %s", e.Network)
	}
	was := e
	err = m.take(n, n.kept(&e), s.wants(i))
	moved = e != was
	m.mu.Unlock()
	if err != nil {
		return false, err
	}
	if err := m.reaper.Remove(e.Link); err != nil { // a crash may have left it
		return false, err
	}
	err = netns.In(m.netnsPath(s.ID), func() error {
		return m.attachHere(s, e, i, n.Network)
	})
	m.mu.Lock()
	if err != nil {
		n.giveNew(e, was)
		m.mu.Unlock()
		return false, err
	}
	m.resolver.Remove(s.ID)
	e.Detached = false
	s.Endpoints[i] = e
	m.resolver.Add(s.host())
	m.mu.Unlock()
	return moved, errors.Join(m.recordSandbox(s), m.reroute(s))
}

// attachHere makes one link of a sandbox, in whose namespace it runs. It has no
// route yet.
func (m *Manager) attachHere(s *sandbox, e endpoint, i int, n Network) error {
	inside, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("cannot open a netlink socket: %w", err)
	}
	defer inside.Close()
	ns, err := os.Open(m.netnsPath(s.ID))
	if err != nil {
		return fmt.Errorf("cannot open a network namespace: %w", err)
	}
	defer ns.Close()
	made := &sandbox{ID: s.ID, Spec: s.Spec, Endpoints: slices.Clone(s.Endpoints)} // with the address that it is to have
	made.Endpoints[i] = e
	return m.attach(inside, int(ns.Fd()), made, i, n, [2]int{-1, -1})
}

// kept takes those addresses from an endpoint that it can't have on the network.
func (n *network) kept(e *endpoint) *endpoint {
	if !n.mayHave(n.addrs, e.Address) {
		e.Address = netip.Addr{}
	}
	if !n.mayHave(n.addrs6, e.Address6) {
		e.Address6 = netip.Addr{}
	}
	return e
}

// giveNew gives the addresses back that an endpoint did not have before.
func (n *network) giveNew(e, was endpoint) {
	if e.Address != was.Address {
		n.give(endpoint{Address: e.Address})
	}
	if e.Address6 != was.Address6 {
		n.give(endpoint{Address6: e.Address6})
	}
}

// mayHave says that an endpoint may keep an address on the network.
func (n *network) mayHave(from *pool.Pool, addr netip.Addr) bool {
	return from != nil && from.IsHost(addr) && addr != n.Gateway && addr != n.Gateway6 && !slices.Contains(n.Aux, addr)
}

// reroute leads the default routes of a sandbox over those of its networks that are
// to have them now.
func (m *Manager) reroute(s *sandbox) error {
	defer m.tellChanged()
	type way struct {
		at int
		n  Network
	}
	m.mu.Lock()
	ways := s.ways(m.known)
	var list []way
	for _, at := range ways {
		if at >= 0 && !slices.ContainsFunc(list, func(w way) bool { return w.at == at }) { // else the route went with its link
			list = append(list, way{at, m.networks[s.Endpoints[at].Network].Network})
		}
	}
	m.mu.Unlock()
	if len(list) == 0 {
		return nil
	}
	return netns.In(m.netnsPath(s.ID), func() error {
		inside, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return fmt.Errorf("cannot open a netlink socket: %w", err)
		}
		defer inside.Close()
		for _, w := range list {
			link, err := inside.LinkByName(s.inside(w.at))
			if err != nil {
				return fmt.Errorf("cannot find %s: %w", s.inside(w.at), err)
			}
			if err := routeOut(inside.RouteReplace, link, w.at, w.n, ways); err != nil {
				return err
			}
		}
		return nil
	})
}
