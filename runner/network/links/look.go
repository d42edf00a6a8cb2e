package links

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Link is what a look has of a link.
type Link struct {
	Index, Master int // Master is that of the bridge that it is a port of, or 0
	IsUp          bool
}

// Look is what there is in one network namespace.
type Look struct {
	Links  map[string]Link        // by name
	Addrs  map[int][]netip.Prefix // by the index of the link; each is the address itself with the network's length
	routes []netlink.Route        // of the main table
}

// At looks at the namespace of the calling thread, which is that of the handle.
func At(h *netlink.Handle) (Look, error) {
	out := Look{Addrs: map[int][]netip.Prefix{}}
	var err error
	if out.Links, err = all(); err != nil {
		return out, fmt.Errorf("cannot list links: %w", err)
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

// skipStats is RTEXT_FILTER_SKIP_STATS of the kernel.
const skipStats = 1 << 3

// all are the links of the namespace of the calling thread, by name. There may be
// hundreds, of which the kernel is asked for no counters and little is read.
func all() (map[string]Link, error) {
	list, err := Dump(func() ([]map[string]Link, error) {
		request := nl.NewNetlinkRequest(unix.RTM_GETLINK, unix.NLM_F_DUMP)
		request.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
		request.AddData(nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(skipStats)))
		out := map[string]Link{}
		err := request.ExecuteIter(unix.NETLINK_ROUTE, unix.RTM_NEWLINK, func(message []byte) bool {
			name, link := read(message)
			out[name] = link
			return true
		})
		return []map[string]Link{out}, err
	})
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

func read(message []byte) (name string, l Link) {
	about := nl.DeserializeIfInfomsg(message)
	l.Index, l.IsUp = int(about.Index), about.Flags&unix.IFF_UP != 0
	for rest := message[unix.SizeofIfInfomsg:]; len(rest) >= unix.SizeofRtAttr; {
		size, kind := int(binary.NativeEndian.Uint16(rest)), binary.NativeEndian.Uint16(rest[2:])
		if size < unix.SizeofRtAttr || size > len(rest) {
			break
		}
		switch value := rest[unix.SizeofRtAttr:size]; {
		case kind == unix.IFLA_IFNAME:
			name = strings.TrimRight(string(value), "\x00")
		case kind == unix.IFLA_MASTER && len(value) >= 4:
			l.Master = int(binary.NativeEndian.Uint32(value))
		}
		const align = unix.RTA_ALIGNTO - 1
		rest = rest[min((size+align)&^align, len(rest)):]
	}
	return name, l
}

func text(p netip.Prefix) string {
	return (&net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}).String()
}
