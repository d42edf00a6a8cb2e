package network

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/orlop/orlop/runner/network/kernel"
	"github.com/orlop/orlop/runner/network/netns"
	"github.com/orlop/orlop/runner/network/reconcile"
)

// repairDelay is how long the guard lets a disturbance go on before it looks:
// a reload of a firewall is many changes.
const repairDelay = 50 * time.Millisecond

// listenAgain is how long the guard waits before it subscribes anew.
const listenAgain = time.Second

// Guard repairs what others change of the networks (a reload of the host's
// nftables takes the table along, a network manager may delete links or set them
// down, a clean-up unmount namespaces), as soon as the kernel tells of it, until ctx
// ends. What can't be mended is tried again, a bounded number of times. After each
// attempt repaired is called with what could not be mended.
func (m *Manager) Guard(ctx context.Context, repaired func(error)) error {
	loop := &reconcile.Loop{Settle: repairDelay, Look: func(ctx context.Context) error {
		err := m.Mend(ctx)
		repaired(err)
		return err
	}}
	for heard := false; ; heard = true {
		err := loop.Run(ctx, func(ctx context.Context, tell func()) error {
			return kernel.Listen(ctx, m.interest(), tell, tell) // what happened before was not heard
		})
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !heard {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(listenAgain):
		}
	}
}

// interest is what of the machine's changes may be of ours.
func (m *Manager) interest() kernel.Interest {
	return kernel.Interest{
		Link:    func(name string) bool { return m.isInUse(func(link string, _ netip.Addr) bool { return link == name }) },
		Address: func(is netip.Addr) bool { return m.isInUse(func(_ string, addr netip.Addr) bool { return addr == is }) },
		Route: func(to netip.Prefix) bool {
			return !to.IsValid() || m.isInUse(func(_ string, addr netip.Addr) bool { return to.Contains(addr) })
		},
		Mount: m.isAnyLost,
		Table: m.firewall.Watches,
	}
}

// isOurs says whether a link belongs to a network or a sandbox that is there.
func (m *Manager) isOurs(link string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.linkNames[link]
}

// isInUse says whether a link and its address, of a network or of a sandbox that is
// there, match. What somebody is just removing is not in use.
func (m *Manager) isInUse(match func(link string, addr netip.Addr) bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range m.networks {
		if n.isUnder(func(link string) bool { return match(link, netip.Addr{}) }) {
			return true
		}
		for _, r := range n.ranges() {
			if match(n.Bridge, r.Gateway) {
				return true
			}
		}
	}
	for _, s := range m.sandboxes {
		if s.Ready && !s.busy && slices.ContainsFunc(s.Endpoints, func(e endpoint) bool { return match(e.Link, e.Address) || match(e.Link, e.Address6) }) {
			return true
		}
	}
	return false
}

// isAnyLost says whether the namespace of a sandbox is mounted no more.
func (m *Manager) isAnyLost() bool {
	return slices.ContainsFunc(m.ready(), func(s *sandbox) bool { return !netns.IsPinned(m.netnsPath(s.ID)) })
}

// ready are the sandboxes that nobody is just making or removing.
func (m *Manager) ready() []*sandbox {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []*sandbox
	for _, s := range m.sandboxes {
		if s.Ready && !s.busy {
			list = append(list, s)
		}
	}
	return list
}
