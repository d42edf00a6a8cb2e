package links

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Look is what there is in one network namespace.
type Look struct {
	Links  map[string]netlink.Link // by name
	Addrs  map[int][]netip.Prefix  // by the index of the link; each is the address itself with the network's length
	routes []netlink.Route         // of the main table
}

// At looks at the namespace that a handle is in.
func At(h *netlink.Handle) (Look, error) {
	out := Look{Links: map[string]netlink.Link{}, Addrs: map[int][]netip.Prefix{}}
	all, err := Dump(h.LinkList)
	if err != nil {
		return out, fmt.Errorf("cannot list links: %w", err)
	}
	for _, l := range all {
		out.Links[l.Attrs().Name] = l
	}
	addrs, err := Addresses(h, nil)
	if err != nil {
		return out, fmt.Errorf("cannot list addresses: %w", err)
	}
	for _, a := range addrs {
		ones, _ := a.Mask.Size()
		if addr, ok := netip.AddrFromSlice(a.IP); ok {
			out.Addrs[a.LinkIndex] = append(out.Addrs[a.LinkIndex], netip.PrefixFrom(addr.Unmap(), ones))
		}
	}
	out.routes, err = Dump(func() ([]netlink.Route, error) { return h.RouteList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return out, fmt.Errorf("cannot list routes: %w", err)
	}
	return out, nil
}

// IsUp says whether a link that is there is up.
func (l *Look) IsUp(name string) bool { return l.Links[name].Attrs().Flags&unix.IFF_UP != 0 }

// Leads says whether a link leads to a destination.
func (l *Look) Leads(link int, to netip.Prefix) bool {
	return slices.ContainsFunc(l.routes, func(r netlink.Route) bool {
		return r.LinkIndex == link && r.Dst != nil && r.Dst.String() == text(to)
	})
}

// LeadsOut says whether there is a default route, of IPv4 or of IPv6.
func (l *Look) LeadsOut(is6 bool) bool {
	family, all := netlink.FAMILY_V4, netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if is6 {
		family, all = netlink.FAMILY_V6, netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return slices.ContainsFunc(l.routes, func(r netlink.Route) bool {
		return r.Family == family && (r.Dst == nil || r.Dst.String() == text(all))
	})
}

func text(p netip.Prefix) string {
	return (&net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}).String()
}
