package nat

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Flows are connections that have been sent to containers; what is zero is any.
type Flows struct {
	Is6   bool
	Proto byte           // IPPROTO_TCP or IPPROTO_UDP
	To    netip.AddrPort // the container; either part may be zero
	// Through is the machine's port that they came to.
	Through uint16
	Bound   netip.Addr            // the machine's address that they came to; not valid, or unspecified: any
	Ours    func(netip.Addr) bool // says of an address that it is a container's; nil: it is
}

// Forget has the machine know some connections no more: nobody has the address that they
// lead to now, or somebody else will. Whoever goes on with one comes to the machine itself.
// (The kernel's own filter for that takes the wrong ones of IPv6, in Linux 6.18.)
func Forget(all ...Flows) error {
	var errs []error
	for _, is6 := range []bool{false, true} {
		some := slices.DeleteFunc(slices.Clone(all), func(f Flows) bool { return f.Is6 != is6 })
		if len(some) == 0 {
			continue
		}
		family := netlink.InetFamily(unix.AF_INET)
		if is6 {
			family = unix.AF_INET6
		}
		// What the kernel was interrupted in telling is of connections that came or went.
		if _, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, family, flows(some)); err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
			errs = append(errs, fmt.Errorf("cannot forget connections to containers: %w", err))
		}
	}
	return errors.Join(errs...)
}

type flows []Flows

// MatchConntrackFlow implements netlink.CustomConntrackFilter.
func (all flows) MatchConntrackFlow(c *netlink.ConntrackFlow) bool {
	from, _ := netip.AddrFromSlice(c.Reverse.SrcIP)
	to, _ := netip.AddrFromSlice(c.Forward.DstIP)
	if from.Unmap() == to.Unmap() {
		return false // it was sent nowhere else
	}
	return slices.ContainsFunc(all, func(f Flows) bool {
		return (f.Proto == 0 || f.Proto == c.Forward.Protocol) &&
			(!f.To.Addr().IsValid() || f.To.Addr() == from.Unmap()) &&
			(f.To.Port() == 0 || f.To.Port() == c.Reverse.SrcPort) &&
			(f.Through == 0 || f.Through == c.Forward.DstPort) &&
			(!f.Bound.IsValid() || f.Bound.IsUnspecified() || f.Bound.Unmap() == to.Unmap()) &&
			(f.Ours == nil || f.Ours(from.Unmap()))
	})
}
