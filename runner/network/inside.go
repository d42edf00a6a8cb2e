package network

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/runner/network/firewall"
	"github.com/orlop/orlop/runner/network/links"
	"github.com/orlop/orlop/runner/network/netns"
)

// missingInside says what is missing in a sandbox's namespace, in which it runs. A
// sandbox whose programs may change their network has it as they want it.
func (m *Manager) missingInside(s *sandbox) (string, error) {
	if !m.isLeftAlone(s) {
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return "", fmt.Errorf("cannot open a netlink socket: %w", err)
		}
		defer h.Close()
		here, err := links.At(h)
		if err != nil {
			return "", err
		}
		if text := m.missingLinks(s, here); text != "" {
			return text, nil
		}
	}
	if s.Spec.DNS && !m.isLeftAlone(s) && !firewall.HasRedirect() {
		return "the way to its name server is gone", nil
	}
	return "", nil
}

func (m *Manager) missingLinks(s *sandbox, here links.Look) string {
	ways := s.ways(m.Network)
	for i, e := range s.Endpoints {
		n, ok := m.Network(e.Network)
		if e.Detached || !ok {
			continue
		}
		name := s.inside(i)
		link, isThere := here.Links[name]
		missing := func(a netip.Prefix) bool { return !slices.Contains(here.Addrs[link.Index], a) }
		switch {
		case !isThere:
			return "its link " + name + " is gone"
		case !link.IsUp:
			return "its link " + name + " is down"
		case slices.ContainsFunc(s.addresses(i, n), missing):
			return "its address on network " + n.Name + " is gone"
		case i == ways[0] && !here.LeadsOut(false) || i == ways[1] && !here.LeadsOut(true):
			return "its default route is gone"
		}
	}
	return ""
}

// refurnish puts back what is missing in a sandbox's namespace.
func (m *Manager) refurnish(s *sandbox) error {
	return netns.In(m.netnsPath(s.ID), func() error {
		if !m.isLeftAlone(s) {
			if err := m.refurnishLinks(s); err != nil {
				return err
			}
		}
		m.mu.Lock()
		server := s.dns
		m.mu.Unlock()
		if server == nil || m.isLeftAlone(s) || firewall.HasRedirect() {
			return nil
		}
		return redirectDNS(server.Sockets(), true)
	})
}

func (m *Manager) refurnishLinks(s *sandbox) error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("cannot open a netlink socket: %w", err)
	}
	defer h.Close()
	ways := s.ways(m.Network)
	var away error // what a missing parent has taken doesn't keep the others
	for i, e := range s.Endpoints {
		n, ok := m.Network(e.Network)
		if e.Detached || !ok {
			continue
		}
		err := m.refurnishLink(h, s, i, n, ways)
		if _, isAway := errors.AsType[*ParentError](err); isAway {
			away = errors.Join(away, err)
		} else if err != nil {
			return err
		}
	}
	return away
}

func (m *Manager) refurnishLink(h *netlink.Handle, s *sandbox, i int, n Network, ways [2]int) error {
	name := s.inside(i)
	link, err := h.LinkByName(name)
	if err != nil && n.isOutside() {
		return m.linkAgain(s, i, n)
	}
	if err != nil {
		return fmt.Errorf("cannot find %s: %w", name, err)
	}
	if s.Endpoints[i].has(true) {
		if err := errors.Join(setIPv6(name, true), setSysctls(name, s.Spec.Endpoints[i].Sysctls)); err != nil {
			return err
		}
	}
	if err := h.LinkSetUp(link); err != nil {
		return fmt.Errorf("cannot bring %s up: %w", name, err)
	}
	for _, addr := range s.addresses(i, n) {
		if err := give(h.AddrReplace, link, addr); err != nil {
			return err
		}
	}
	return routeOut(h.RouteReplace, link, i, n, ways)
}
