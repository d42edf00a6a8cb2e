package network

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/runner/network/hostlock"
	"github.com/orlop/orlop/runner/network/links"
	"github.com/orlop/orlop/runner/network/netns"
)

// fault is something of a network or a sandbox that is not as it was made, and how
// it is put right.
type fault struct {
	network string // whose; "": a sandbox's
	sandbox string
	text    string // "its bridge is down"
	waits   bool   // for whoever has taken its network away: the guard leaves it, an up need not
	mend    func() error
}

// Faults says what of networks and of sandboxes, by name and ID, is not as it
// was made. Only the sandboxes that are wanted are looked into.
func (m *Manager) Faults(ctx context.Context, wanted func(sandbox string) bool) (networks, sandboxes map[string][]string, err error) {
	if m.isEmpty() {
		return nil, nil, nil
	}
	m.netMu.Lock()
	defer m.netMu.Unlock()
	unlock, err := hostlock.Take(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer unlock()
	list, err := m.faults(wanted)
	if err != nil {
		return nil, nil, err
	}
	networks, sandboxes = map[string][]string{}, map[string][]string{}
	for _, f := range list {
		if f.network != "" {
			networks[f.network] = append(networks[f.network], f.text)
		} else {
			sandboxes[f.sandbox] = append(sandboxes[f.sandbox], f.text)
		}
	}
	return networks, sandboxes, nil
}

// Mend puts right what is not as it was made. The second time finds what the first
// has brought to light: a link's place in a namespace that was lost.
func (m *Manager) Mend(ctx context.Context) error {
	return m.mendAll(ctx, func(string) bool { return true }, func(f fault) bool { return !f.waits })
}

// MendSandbox does so for one sandbox and its networks, and looks at no other.
func (m *Manager) MendSandbox(ctx context.Context, id string) error {
	m.mu.Lock()
	var on []string
	if s := m.sandboxes[id]; s != nil {
		for _, e := range s.Endpoints {
			on = append(on, e.Network)
		}
	}
	m.mu.Unlock()
	return m.mendAll(ctx, func(other string) bool { return other == id },
		func(f fault) bool { return f.network == "" || slices.Contains(on, f.network) })
}

func (m *Manager) mendAll(ctx context.Context, wanted func(sandbox string) bool, concerns func(fault) bool) error {
	if m.isEmpty() {
		return nil
	}
	m.netMu.Lock()
	defer m.netMu.Unlock()
	unlock, err := hostlock.Take(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	for range 2 {
		list, err := m.faults(wanted)
		list = slices.DeleteFunc(list, func(f fault) bool { return !concerns(f) })
		if err != nil || len(list) == 0 {
			return errors.Join(err, m.firewall.OpenHost())
		}
		var errs []error
		for _, f := range list {
			m.cfg.Log.Warn("somebody has changed a network; it is being put right", "network", f.network, "sandbox", f.sandbox, "what", f.text)
			if err := f.mend(); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", f.text, err))
			}
		}
		if err := errors.Join(errs...); err != nil {
			return err
		}
	}
	return m.firewall.OpenHost()
}

// isEmpty says that there is neither a network nor a sandbox.
func (m *Manager) isEmpty() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.networks) == 0 && len(m.sandboxes) == 0
}

// IsLost says that a sandbox is on record, and its namespace is mounted no more.
func (m *Manager) IsLost(id string) bool {
	_, known := m.Sandbox(id)
	return known && !netns.IsPinned(m.netnsPath(id))
}

// look is what is to be looked at: what the kernel has told nothing of since the last
// time need not be.
type look struct {
	here   bool // at networks, and at the machine's side of sandboxes
	ready  []*sandbox
	inside map[*sandbox]bool
}

// due is what is to be looked at where some sandboxes are wanted. It counts as seen from
// here on, so that what happens meanwhile is not missed.
func (m *Manager) due(wanted func(sandbox string) bool) look {
	isTold := m.hear() == nil
	l := look{ready: m.ready(), inside: map[*sandbox]bool{}}
	lost := map[*sandbox]bool{} // of those that are wanted
	for _, s := range l.ready {
		if wanted(s.ID) {
			lost[s] = !netns.IsPinned(m.netnsPath(s.ID))
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	l.here, m.seen = !isTold || !m.seen, isTold
	for s, isLost := range lost {
		if s.busy {
			continue // since a moment; who changes it has it looked into afterwards
		}
		if !isTold || !s.told || !s.seen || isLost || m.isOff(s) {
			l.inside[s], s.seen = true, isTold
		}
	}
	return l
}

// isOff says that a sandbox is detached from a network that is there. The caller holds m.mu.
func (m *Manager) isOff(s *sandbox) bool {
	return slices.ContainsFunc(s.Endpoints, func(e endpoint) bool { return e.Detached && m.networks[e.Network] != nil })
}

// repeat has all that a look was to be at looked at again.
func (m *Manager) repeat(l look) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen = m.seen && !l.here
	for s := range l.inside {
		s.seen = false
	}
}

// suspect has what a look has found looked at again.
func (m *Manager) suspect(found []fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range found {
		m.seen = false
		if s := m.sandboxes[f.sandbox]; s != nil {
			s.seen = false
		}
	}
}

// faults looks at everything, and says what is wrong with networks and with sandboxes
// that are wanted. The caller holds netMu and the host's lock.
func (m *Manager) faults(wanted func(sandbox string) bool) ([]fault, error) {
	// Before the look, which has the links of those that are ready by then.
	due := m.due(wanted)
	if !due.here && len(due.inside) == 0 {
		return nil, nil
	}
	found, err := m.look(due)
	if err != nil {
		m.repeat(due)
		return nil, err
	}
	m.suspect(found)
	return slices.DeleteFunc(found, func(f fault) bool { return f.network == "" && !wanted(f.sandbox) }), nil
}

func (m *Manager) look(due look) ([]fault, error) {
	host, err := links.At(m.links)
	if err != nil {
		return nil, err
	}
	var list []fault
	damage, err := m.firewall.Damage()
	if err != nil {
		return nil, err
	}
	repaired := sync.OnceValue(m.firewall.Repair) // it is that of all networks
	for _, n := range m.Networks() {
		if damage != "" {
			list = append(list, fault{network: n.Name, text: damage, mend: repaired})
		}
		if text := missingOf(n, host); text != "" {
			list = append(list, fault{network: n.Name, text: text, mend: func() error { return m.rebuildBridge(n) }})
		}
	}
	found := make([][]fault, len(due.ready))
	var all errgroup.Group
	all.SetLimit(2 * runtime.GOMAXPROCS(0))
	for i, s := range due.ready {
		all.Go(func() error {
			m.atRest(s, func() { found[i] = m.sandboxFaults(s, host, due.inside[s]) })
			return nil
		})
	}
	_ = all.Wait() // none of them fails
	return slices.Concat(append([][]fault{list}, found...)...), nil
}

// missingOf says what is missing of a network on the host.
func missingOf(n Network, host links.Look) string {
	if n.isOutside() {
		return missingParent(n, host.Links)
	}
	bridge, ok := host.Links[n.Bridge]
	switch {
	case !ok:
		return "its bridge is gone"
	case !bridge.IsUp:
		return "its bridge is down"
	}
	have := host.Addrs[bridge.Index]
	for _, addr := range n.bridgeAddresses() {
		switch {
		case !slices.Contains(have, addr):
			return "its bridge has lost its address"
		case !addr.Addr().IsLinkLocalUnicast() && !host.Leads(bridge.Index, addr.Masked()):
			return "the route to it is gone"
		}
	}
	return ""
}

// rebuildBridge makes what is missing of a network's bridge. Its route comes with its
// address, unless that was there.
func (m *Manager) rebuildBridge(n Network) error {
	if n.isOutside() {
		return m.rebuildParent(n)
	}
	if err := m.buildBridge(n); err != nil {
		return err
	}
	bridge, err := m.links.LinkByName(n.Bridge)
	if err != nil {
		return fmt.Errorf("cannot find bridge %s: %w", n.Bridge, err)
	}
	for _, addr := range n.bridgeAddresses() {
		if addr.Addr().IsLinkLocalUnicast() {
			continue
		}
		const priority6 = 256 // of the kernel's own (IP6_RT_PRIO_ADDRCONF)
		to := addr.Masked()
		route := &netlink.Route{LinkIndex: bridge.Attrs().Index, Dst: toIPNet(to.Addr(), to.Bits()), Protocol: unix.RTPROT_KERNEL, Priority: priority6}
		if addr.Addr().Is4() {
			route.Src, route.Scope, route.Priority = addr.Addr().AsSlice(), netlink.SCOPE_LINK, 0
		}
		if err := m.links.RouteReplace(route); err != nil {
			return fmt.Errorf("cannot route to %s: %w", to, err)
		}
	}
	return nil
}

// sandboxFaults says what is missing of a sandbox: its pin, its links, and, if that is
// looked into, what is inside of it.
func (m *Manager) sandboxFaults(s *sandbox, host links.Look, inside bool) []fault {
	var list, off []fault
	found := func(text string, mend func() error) fault {
		return fault{sandbox: s.ID, text: text, mend: func() (err error) {
			m.atRest(s, func() { err = mend() })
			return err
		}}
	}
	add := func(text string, mend func() error) { list = append(list, found(text, mend)) }
	if !netns.IsPinned(m.netnsPath(s.ID)) {
		add("its network namespace is mounted no more", func() error { return m.pinAgain(s) })
		return list
	}
	for _, e := range s.Endpoints {
		n, ok := m.Network(e.Network)
		if ok && e.Detached { // who was to bring it back was cut off, or is about to
			f := found("it is off network "+n.Name, func() error { return m.comeBack(s, e.Network) })
			f.waits = true
			off = append(off, f)
		}
		if e.Detached || !ok || n.isOutside() {
			continue
		}
		link, isThere := host.Links[e.Link]
		bridge, hasBridge := host.Links[n.Bridge]
		mend := func() error { return m.mendEndpoint(s, e.Network) }
		switch {
		case !isThere:
			add("its link to network "+n.Name+" is gone", mend)
		case !hasBridge || link.Master != bridge.Index:
			add("its link to network "+n.Name+" is off the bridge", mend)
		case !link.IsUp:
			add("its link to network "+n.Name+" is down", mend)
		}
	}
	if len(list) > 0 || !inside {
		return append(list, off...) // what is inside comes with its links, or is seen then
	}
	var text string
	err := netns.In(m.netnsPath(s.ID), func() (err error) {
		text, err = m.missingInside(s)
		return err
	})
	if err == nil && text != "" {
		add(text, func() error { return m.refurnish(s) })
	}
	if err != nil { // it may be gone by now
		m.repeat(look{inside: map[*sandbox]bool{s: true}})
	}
	return append(list, off...)
}

// comeBack brings a sandbox back to a network that it is detached from, unless either was
// left meanwhile.
func (m *Manager) comeBack(s *sandbox, network string) error {
	i := s.place(network)
	if _, ok := m.Network(network); i < 0 || !ok {
		return nil
	}
	_, err := m.reattach(s, i)
	return err
}

// mendEndpoint puts back the link of a sandbox to a network, unless either was left
// meanwhile.
func (m *Manager) mendEndpoint(s *sandbox, network string) error {
	i := s.place(network) // as they are by now
	if i < 0 {
		return nil
	}
	e := s.Endpoints[i]
	links, err := m.ourLinks()
	if err != nil {
		return err
	}
	err = m.adoptEndpoint(s, i, e, links)
	if !m.isOurs(e.Link) {
		err = m.reaper.Remove(e.Link)
	}
	return err
}

// pinAgain mounts the network namespace of a sandbox again, which its name server
// is in as long as that answers.
func (m *Manager) pinAgain(s *sandbox) error {
	m.mu.Lock()
	server := s.dns
	m.mu.Unlock()
	if server == nil {
		return nil // it has no way out that could be lost; its next start makes it anew
	}
	return netns.PinAgain(server.Sockets(), m.netnsPath(s.ID))
}
