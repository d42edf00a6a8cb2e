package network

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

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
	if s.Spec.DNS && !m.isLeftAlone(s) && !hasRedirect() {
		return "the way to its name server is gone", nil
	}
	return "", nil
}

func (m *Manager) missingLinks(s *sandbox, here links.Look) string {
	gateway := s.gateway(m.Network)
	for i, e := range s.Endpoints {
		n, ok := m.Network(e.Network)
		if e.Detached || !ok {
			continue
		}
		name := s.inside(i)
		link := here.Links[name]
		missing := func(a netip.Prefix) bool { return !slices.Contains(here.Addrs[link.Attrs().Index], a) }
		switch {
		case link == nil:
			return "its link " + name + " is gone"
		case !here.IsUp(name):
			return "its link " + name + " is down"
		case slices.ContainsFunc(s.addresses(i, n), missing):
			return "its address on network " + n.Name + " is gone"
		case i == gateway && !here.Leads(0, netip.Prefix{}):
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
		if server == nil || m.isLeftAlone(s) || hasRedirect() {
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
	gateway := s.gateway(m.Network)
	for i, e := range s.Endpoints {
		n, ok := m.Network(e.Network)
		if e.Detached || !ok {
			continue
		}
		name := s.inside(i)
		link, err := h.LinkByName(name)
		if err != nil {
			return fmt.Errorf("cannot find %s: %w", name, err)
		}
		for _, addr := range s.addresses(i, n) {
			if err := h.AddrReplace(link, &netlink.Addr{IPNet: toIPNet(addr.Addr(), addr.Bits())}); err != nil {
				return fmt.Errorf("cannot give %s to %s: %w", addr.Addr(), name, err)
			}
		}
		if err := h.LinkSetUp(link); err != nil {
			return fmt.Errorf("cannot bring %s up: %w", name, err)
		}
		if i != gateway {
			continue
		}
		if err := h.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: n.Gateway.AsSlice()}); err != nil {
			return fmt.Errorf("cannot route by %s: %w", n.Gateway, err)
		}
	}
	return nil
}

// hasRedirect says whether the namespace of the calling thread leads port 53 to a
// name server of ours. Where that can't be told, it is left alone.
func hasRedirect() bool {
	var c nftables.Conn
	rules, err := c.GetRules(dnsTable(), &nftables.Chain{Name: "output", Table: dnsTable()})
	if errors.Is(err, unix.ENOENT) {
		return false
	}
	return err != nil || len(rules) == 2
}
