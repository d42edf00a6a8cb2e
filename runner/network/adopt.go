package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/runner/network/firewall"
	"github.com/orlop/orlop/runner/network/hostlock"
	"github.com/orlop/orlop/runner/network/links"
	"github.com/orlop/orlop/runner/network/netns"
)

// adopt takes over what the records tell of, repairs it, and removes what no
// record tells of. It runs before anyone else uses the manager.
func (m *Manager) adopt(ctx context.Context) error {
	unlock, err := hostlock.Take(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := m.readState(); err != nil {
		return err
	}
	links, err := m.ourLinks()
	if err != nil {
		return err
	}
	for _, s := range m.sandboxes {
		if !s.Ready || !netns.IsPinned(m.netnsPath(s.ID)) {
			m.cfg.Log.Info("a sandbox that is only half there is removed", "sandbox", s.ID)
			if err := m.clear(ctx, s); err != nil {
				m.cfg.Log.Warn("cannot remove a sandbox", "sandbox", s.ID, "error", err)
			}
		}
	}
	if err := m.removeOrphans(links); err != nil {
		return err
	}
	if err := m.adoptNetworks(links); err != nil {
		return err
	}
	for _, s := range m.sandboxes {
		if err := m.adoptSandbox(ctx, s, links); err != nil {
			m.cfg.Log.Warn("cannot adopt a sandbox; it is removed", "sandbox", s.ID, "error", err)
			if err := m.clear(ctx, s); err != nil {
				m.cfg.Log.Warn("cannot remove a sandbox", "sandbox", s.ID, "error", err)
			}
		}
	}
	m.dropOrphanSockets(ctx)
	return nil
}

func (m *Manager) readState() error {
	err := readRecords(m, networksDir, func(n Network) {
		m.networks[n.Name] = newNetwork(n)
		m.linkNames[n.Bridge] = true
	})
	if err != nil {
		return err
	}
	return readRecords(m, sandboxesDir, func(s *sandbox) {
		if s == nil || !validSandboxID.MatchString(s.ID) {
			return
		}
		m.sandboxes[s.ID] = s
		for _, e := range s.Endpoints {
			m.linkNames[e.Link] = true
			if n, ok := m.networks[e.Network]; ok {
				n.hold(e)
			}
		}
	})
}

// ourLinks returns the links on the host whose names this engine gives.
func (m *Manager) ourLinks() (map[string]netlink.Link, error) {
	all, err := links.Dump(m.links.LinkList)
	if err != nil {
		return nil, fmt.Errorf("cannot list the links of this machine: %w", err)
	}
	ours := map[string]netlink.Link{}
	for _, l := range all {
		name := l.Attrs().Name
		if isLinkName(name, m.linkPrefix()) || m.isOurs(name) {
			ours[name] = l
		}
	}
	return ours, nil
}

// isLinkName reports whether newLinkName makes such names. An ID may begin with
// another one: what is ours has ours and seven more characters.
func isLinkName(name, prefix string) bool {
	rest, ok := strings.CutPrefix(name, prefix)
	return ok && len(rest) == 7 && (rest[0] == 'b' || rest[0] == 'v')
}

func (m *Manager) removeOrphans(links map[string]netlink.Link) error {
	for name := range links {
		if !m.linkNames[name] {
			m.cfg.Log.Info("an orphaned link is removed", "link", name)
			if err := m.reaper.Remove(name); err != nil {
				return err
			}
		}
	}
	entries, err := os.ReadDir(filepath.Join(m.cfg.StateDir, netnsDir))
	if err != nil {
		return fmt.Errorf("cannot list the network namespaces: %w", err)
	}
	for _, e := range entries {
		id := netns.NameOf(e.Name())
		if _, ok := m.sandboxes[id]; !ok {
			m.cfg.Log.Info("an orphaned network namespace is removed", "netns", e.Name())
			if err := netns.Unpin(m.netnsPath(id)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *Manager) adoptNetworks(ours map[string]netlink.Link) error {
	var packets []firewall.Network
	for _, n := range m.Networks() {
		if !n.isOutside() {
			packets = append(packets, n.packets())
		}
	}
	if err := m.firewall.Reset(packets); err != nil {
		return err
	}
	host, err := links.At(m.links)
	if err != nil {
		return err
	}
	for _, n := range m.Networks() {
		if n.isOutside() {
			if err := m.buildParent(n); err != nil {
				m.cfg.Log.Warn("cannot make the parent of a network again", "network", n.Name, "error", err)
			}
			continue
		}
		link, ok := ours[n.Bridge]
		lost := func(addr netip.Prefix) bool { return !slices.Contains(host.Addrs[link.Attrs().Index], addr) }
		if ok && link.Attrs().Flags&unix.IFF_UP != 0 && !slices.ContainsFunc(n.bridgeAddresses(), lost) {
			continue
		}
		m.cfg.Log.Info("a network's bridge is made again", "network", n.Name, "bridge", n.Bridge)
		if err := m.buildBridge(n); err != nil {
			m.cfg.Log.Warn("cannot make a network's bridge again", "network", n.Name, "error", err)
			continue
		}
		if ours[n.Bridge], err = m.links.LinkByName(n.Bridge); err != nil {
			return fmt.Errorf("bridge %s is gone again: %w", n.Bridge, err)
		}
	}
	return nil
}

// adoptSandbox puts back the links that a sandbox has lost and starts its name
// server on the kept sockets, or on new ones.
func (m *Manager) adoptSandbox(ctx context.Context, s *sandbox, links map[string]netlink.Link) error {
	away := map[int]bool{} // their parents are, and the guard waits for those
	for i, e := range s.Endpoints {
		err := m.adoptEndpoint(s, i, e, links)
		if _, away[i] = errors.AsType[*ParentError](err); away[i] {
			m.cfg.Log.Warn("a sandbox is without one of its networks", "sandbox", s.ID, "network", e.Network, "error", err)
		} else if err != nil {
			return err
		}
		if err := m.returnEndpoint(s, i, links); err != nil { // what runs has its other networks
			m.cfg.Log.Warn("cannot bring a sandbox back to its network", "sandbox", s.ID, "network", e.Network, "error", err)
		}
	}
	if !s.Alive {
		// An exchange of addresses may have been cut off.
		nets, all := map[string]Network{}, map[int]bool{}
		for i, e := range s.Endpoints {
			if n, ok := m.networks[e.Network]; ok {
				nets[e.Network], all[i] = n.Network, !away[i]
			}
		}
		if err := m.readdress(s, nets, all); err != nil {
			return err
		}
	}
	m.number(s, false)
	m.resolver.Add(s.host())
	if !s.Spec.DNS {
		return nil
	}
	return m.adoptNames(ctx, s)
}

// returnEndpoint attaches an endpoint whose network has come back, or takes away
// the link that it must not have.
func (m *Manager) returnEndpoint(s *sandbox, i int, links map[string]netlink.Link) error {
	e := s.Endpoints[i]
	if !e.Detached {
		return nil
	}
	if _, ok := m.Network(e.Network); ok {
		_, err := m.reattach(s, i)
		return err
	}
	if links[e.Link] == nil {
		return nil
	}
	return m.reaper.Remove(e.Link)
}

func (m *Manager) adoptEndpoint(s *sandbox, i int, e endpoint, links map[string]netlink.Link) error {
	if e.Detached {
		return nil // who took its network away brings it back
	}
	n, ok := m.Network(e.Network)
	if !ok {
		return fmt.Errorf("its network %s is gone", e.Network)
	}
	if n.isOutside() {
		return m.linkAgain(s, i, n) // it goes with its parent
	}
	bridge, ok := links[n.Bridge]
	if !ok {
		return fmt.Errorf("network %s has no bridge", n.Name)
	}
	link, ok := links[e.Link]
	if ok {
		if link.Attrs().MasterIndex == bridge.Attrs().Index && link.Attrs().Flags&unix.IFF_UP != 0 {
			return nil
		}
		m.cfg.Log.Info("a link is connected to its bridge again", "sandbox", s.ID, "network", n.Name)
		err := errors.Join(m.links.LinkSetMaster(link, bridge), m.links.LinkSetUp(link))
		if n.Isolated {
			err = errors.Join(err, m.isolate(e.Link))
		}
		return err
	}
	return m.linkAgain(s, i, n)
}

// linkAgain makes a link of a sandbox anew that is gone.
func (m *Manager) linkAgain(s *sandbox, i int, n Network) error {
	ways := s.ways(m.Network)
	if m.isLeftAlone(s) { // its programs may have taken theirs away
		ways = [2]int{-1, -1}
	}
	path := m.netnsPath(s.ID)
	return netns.In(path, func() error {
		inside, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return fmt.Errorf("cannot open a netlink socket: %w", err)
		}
		defer inside.Close()
		if _, err := inside.LinkByName(s.inside(i)); err == nil && n.isOutside() {
			return nil
		}
		m.cfg.Log.Info("a link is made again", "sandbox", s.ID, "network", n.Name)
		ns, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("cannot open a network namespace: %w", err)
		}
		defer ns.Close()
		return m.attach(inside, int(ns.Fd()), s, i, n, ways)
	})
}

// dropOrphanSockets drops kept name servers of sandboxes that are gone, where
// the keeper can tell what it keeps.
func (m *Manager) dropOrphanSockets(ctx context.Context) {
	lister, ok := m.cfg.Sockets.(interface {
		Kept(context.Context) ([]string, error)
	})
	if !ok {
		return
	}
	keys, err := lister.Kept(ctx)
	for _, key := range keys {
		id, ours := strings.CutPrefix(key, dnsKey(""))
		if _, known := m.sandboxes[id]; ours && !known {
			err = errors.Join(err, m.cfg.Sockets.Drop(ctx, key))
		}
	}
	if err != nil {
		m.cfg.Log.Warn("cannot drop kept name servers", "error", err)
	}
}
