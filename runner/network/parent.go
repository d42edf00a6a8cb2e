package network

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/runner/network/links"
	"github.com/orlop/orlop/runner/network/netns"
)

// Drivers of networks that are no bridges: their sandboxes have links of their own on
// the network that a link of the machine leads to, its parent. The machine itself
// neither reaches them nor filters what they say.
const (
	Macvlan = "macvlan" // each has a hardware address of its own
	IPvlan  = "ipvlan"  // all have the parent's
)

// ParentError is a parent that a network can't have.
type ParentError struct {
	Parent string
	Why    string
}

func (e *ParentError) Error() string { return e.Parent + ": " + e.Why }

// isOutside says that a network is one of the machine's surroundings.
func (n *Network) isOutside() bool { return n.Driver != "" }

// isRouted says that its sandboxes have no neighbours: what they send is routed by the
// machine, and there is no gateway that they could ask.
func (n *Network) isRouted() bool { return n.Driver == IPvlan && strings.HasPrefix(n.Mode, "l3") }

// checkParent says why a network can't have its parent, and whether that is to be made:
// it is a VLAN of a link that is there.
func (m *Manager) checkParent(spec Spec) (made bool, err error) {
	if spec.Driver == "" {
		return false, nil
	}
	m.mu.Lock()
	for _, n := range m.networks {
		if n.Parent == spec.Parent && n.Name != spec.Name {
			err = &ParentError{spec.Parent, "network " + n.Name + " has it as its parent"}
		}
	}
	m.mu.Unlock()
	if err != nil {
		return false, err
	}
	link, err := m.links.LinkByName(spec.Parent)
	switch {
	case err == nil && link.Attrs().MasterIndex != 0:
		return false, &ParentError{spec.Parent, "it is part of a bridge or a bond: take that"}
	case err == nil && link.Type() == "device" && link.Attrs().Name == "lo":
		return false, &ParentError{spec.Parent, "it leads nowhere"}
	case err == nil:
		return false, nil
	}
	if _, isMissing := errors.AsType[netlink.LinkNotFoundError](err); !isMissing {
		return false, fmt.Errorf("cannot look for link %s: %w", spec.Parent, err)
	}
	if base, _, ok := links.VLANOf(spec.Parent); ok {
		if _, err := m.links.LinkByName(base); err == nil {
			return true, nil
		}
	}
	return false, &ParentError{spec.Parent, "this machine has no link of that name"}
}

// buildOutside makes the parent of a network, if it is ours to make, and tries whether
// it can have such links at all: the first container would be late to find out.
func (m *Manager) buildOutside(n Network) error {
	if err := m.buildParent(n); err != nil {
		return err
	}
	parent, err := m.links.LinkByName(n.Parent)
	if err != nil {
		return &ParentError{n.Parent, "it is gone"}
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex = n.Bridge, parent.Attrs().Index
	if err := m.links.LinkAdd(outsideLink(n, attrs)); err != nil {
		return kernelError(n, err)
	}
	return m.reaper.Remove(n.Bridge)
}

// outsideLink is a link to a network that is no bridge.
func outsideLink(n Network, attrs netlink.LinkAttrs) netlink.Link {
	if n.Driver == IPvlan {
		return &netlink.IPVlan{LinkAttrs: attrs, Mode: links.IPvlanMode(n.Mode), Flag: links.IPvlanFlag(n.Flag)}
	}
	return &netlink.Macvlan{LinkAttrs: attrs, Mode: links.MacvlanMode(n.Mode)}
}

// buildParent makes the VLAN that is the parent of a network, if it is ours to make.
func (m *Manager) buildParent(n Network) error {
	if !n.MadeParent {
		return nil
	}
	base, id, _ := links.VLANOf(n.Parent)
	under, err := m.links.LinkByName(base)
	if err != nil {
		return &ParentError{n.Parent, "link " + base + " is gone"}
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex = n.Parent, under.Attrs().Index
	vlan := &netlink.Vlan{LinkAttrs: attrs, VlanId: id, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q}
	if err := m.links.LinkAdd(vlan); err != nil && !errors.Is(err, unix.EEXIST) {
		if errors.Is(err, unix.EOPNOTSUPP) {
			return &ParentError{n.Parent, "this kernel has no VLANs (module 8021q)"}
		}
		return fmt.Errorf("cannot make %s: %w", n.Parent, err)
	}
	link, err := m.links.LinkByName(n.Parent)
	if err == nil {
		err = m.links.LinkSetUp(link)
	}
	if err != nil {
		return fmt.Errorf("cannot bring %s up: %w", n.Parent, err)
	}
	return nil
}

// rebuildParent makes the parent of a network again, if it is ours to make. Nobody but
// who has taken another one brings that back.
func (m *Manager) rebuildParent(n Network) error {
	if err := m.buildParent(n); err != nil {
		return err
	}
	if _, err := m.links.LinkByName(n.Parent); err != nil {
		return &ParentError{n.Parent, "it is gone"}
	}
	return nil
}

// isUnder says that a link is what a network's sandboxes are on: its parent, or what
// its parent is a VLAN of that is ours to make.
func (n *Network) isUnder(match func(link string) bool) bool {
	if !n.isOutside() {
		return false
	}
	base, _, isVLAN := links.VLANOf(n.Parent)
	return match(n.Parent) || n.MadeParent && isVLAN && match(base)
}

// kernelError says why the kernel has made no link to a network.
func kernelError(n Network, err error) error {
	switch {
	case errors.Is(err, unix.EOPNOTSUPP):
		return &ParentError{n.Parent, "this kernel has no such links (module " + n.Driver + ")"}
	case errors.Is(err, unix.EBUSY):
		return &ParentError{n.Parent, "somebody uses it already in a way that a " + n.Driver + " excludes"}
	case errors.Is(err, unix.EINVAL):
		return &ParentError{n.Parent, "it can't be the parent of a " + n.Driver}
	}
	return fmt.Errorf("cannot make a link on %s: %w", n.Parent, err)
}

// missingParent says what is missing of a network that is no bridge.
func missingParent(n Network, all map[string]links.Link) string {
	if _, isThere := all[n.Parent]; !isThere {
		return "its parent " + n.Parent + " is gone"
	}
	return ""
}

// attachOutside makes the link of a sandbox to a network that is no bridge, in the
// place of one that is there.
func (m *Manager) attachOutside(inside *netlink.Handle, nsFD int, s *sandbox, i int, n Network) error {
	parent, err := m.links.LinkByName(n.Parent)
	if err != nil {
		return &ParentError{n.Parent, "the parent of network " + n.Name + " is gone"}
	}
	if old, err := inside.LinkByName(s.inside(i)); err == nil {
		if err := inside.LinkDel(old); err != nil {
			return fmt.Errorf("cannot remove %s: %w", s.inside(i), err)
		}
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex, attrs.MTU, attrs.Namespace = s.inside(i), parent.Attrs().Index, n.MTU, netlink.NsFd(nsFD)
	if n.Driver == Macvlan && n.Mode != passthru {
		attrs.HardwareAddr = s.hardware(i)
	}
	if err := m.links.LinkAdd(outsideLink(n, attrs)); err != nil {
		return kernelError(n, err)
	}
	return nil
}

// passthru has one link on its parent, whose hardware address it takes.
const passthru = links.Passthru

// unlink takes the link of an endpoint away. One on a bridge has an end on the host,
// which takes the other along.
func (m *Manager) unlink(s *sandbox, e endpoint, name string) error {
	m.mu.Lock()
	n, ok := m.known(e.Network)
	m.mu.Unlock()
	path := m.netnsPath(s.ID)
	if !ok || !n.isOutside() || !netns.IsPinned(path) {
		return m.reaper.Remove(e.Link)
	}
	return netns.In(path, func() error {
		inside, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return fmt.Errorf("cannot open a netlink socket: %w", err)
		}
		defer inside.Close()
		link, err := inside.LinkByName(name)
		if _, isMissing := errors.AsType[netlink.LinkNotFoundError](err); isMissing {
			return nil
		}
		if err == nil {
			err = inside.LinkDel(link)
		}
		if err != nil {
			return fmt.Errorf("cannot remove %s: %w", name, err)
		}
		return nil
	})
}

// wayOut is the gateway of a default route; there is none where the machine routes.
func (n *Network) wayOut(is6 bool) netip.Addr {
	if n.isRouted() {
		return netip.Addr{}
	}
	return n.family(is6).Gateway
}
