package network

import (
	"context"
	"errors"
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
			listener, err := kernel.Listen(m.interest(), tell)
			if err != nil {
				return err
			}
			m.listenBy(listener)
			defer m.listenBy(nil)
			tell() // what happened before was not heard
			return listener.Run(ctx)
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

// listenBy has a listener tell what changes: all that there is must be looked at once more,
// as what happened before was told to nobody. nil: nobody tells.
func (m *Manager) listenBy(l *kernel.Listener) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.listener, m.seen = l, false
	for _, s := range m.sandboxes {
		s.seen = false
	}
}

// interest is what of the machine's changes may be of ours: here what is in use, and in
// the namespaces of sandboxes all.
func (m *Manager) interest() kernel.Interest {
	of := func(in kernel.Namespace, isOurs func() bool) bool {
		if in != kernel.Here {
			return m.isGuarded(in)
		}
		return isOurs()
	}
	return kernel.Interest{
		Told: m.told,
		Link: func(in kernel.Namespace, name string) bool {
			return of(in, func() bool { return m.isInUse(func(link string, _ netip.Addr) bool { return link == name }) })
		},
		Address: func(in kernel.Namespace, is netip.Addr) bool {
			return of(in, func() bool { return m.isInUse(func(_ string, addr netip.Addr) bool { return addr == is }) })
		},
		Route: func(in kernel.Namespace, to netip.Prefix) bool {
			return of(in, func() bool {
				return to.IsValid() && m.isInUse(func(_ string, addr netip.Addr) bool { return to.Contains(addr) })
			})
		},
		Table: func(in kernel.Namespace, name string) bool {
			return of(in, func() bool { return m.firewall.Watches(name) })
		},
		Mount: m.isAnyLost,
	}
}

// told has the machine's side of networks looked at, or a sandbox looked into unless it
// has only got more than it had.
func (m *Manager) told(in kernel.Namespace, of kernel.Change) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if in == kernel.Here {
		m.seen = false
	} else if s := m.inside[in]; s != nil && (!of.Adds || !s.hasLink(of.Link)) {
		s.seen = false
	}
}

// hear takes in what the kernel has told by now, and fails where that may not be all.
func (m *Manager) hear() error {
	m.mu.Lock()
	listener := m.listener
	m.mu.Unlock()
	if listener == nil {
		return errDeaf
	}
	return listener.Hear()
}

// errDeaf: nobody listens to the kernel.
var errDeaf = errors.New("no listener")

// hasLink says that a link inside has the name that it was made with; that of no link
// counts as one.
func (s *sandbox) hasLink(name string) bool {
	for i := range s.Endpoints {
		if s.inside(i) == name {
			return true
		}
	}
	return name == "" || name == "lo"
}

// isGuarded says that what happens in a namespace is to be put right. What somebody is
// just making or removing is nobody's to look at, and what its programs may change is theirs.
func (m *Manager) isGuarded(in kernel.Namespace) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.inside[in]
	return s != nil && s.Ready && !s.busy && s.Guarded && !s.Spec.OwnNetwork
}

// number notes the kernel's number of a sandbox's namespace, by which it is told what
// happens inside. Without one it is looked into each time.
func (m *Manager) number(s *sandbox) {
	n, err := kernel.NumberOf(m.links, m.netnsPath(s.ID))
	if err != nil {
		m.cfg.Log.Warn("cannot be told of what happens in a sandbox", "sandbox", s.ID, "error", err)
		return
	}
	_ = m.hear() // what has happened inside by now is of before
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inside[n], s.told = s, true
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
