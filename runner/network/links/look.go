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
	out.routes, err = Dump(func() ([]netlink.Route, error) { return h.RouteList(nil, netlink.FAMILY_V4) })
	if err != nil {
		return out, fmt.Errorf("cannot list routes: %w", err)
	}
	return out, nil
}

// IsUp says whether a link that is there is up.
func (l *Look) IsUp(name string) bool { return l.Links[name].Attrs().Flags&unix.IFF_UP != 0 }

// Leads says whether a link, or any where it is 0, leads to a destination; the zero
// Prefix is everything.
func (l *Look) Leads(link int, to netip.Prefix) bool {
	return slices.ContainsFunc(l.routes, func(r netlink.Route) bool {
		if link != 0 && r.LinkIndex != link {
			return false
		}
		return r.Dst == nil && !to.IsValid() || r.Dst != nil && r.Dst.String() == text(to)
	})
}

func text(p netip.Prefix) string {
	if !p.IsValid() {
		return "0.0.0.0/0"
	}
	return (&net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}).String()
}
