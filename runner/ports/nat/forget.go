package nat

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Forget has the machine know no connection any more that leads to one of some addresses:
// nobody has it now, or somebody else will. Whoever goes on with one is refused by the
// machine. (The kernel's own filter for that takes the wrong ones of IPv6, in Linux 6.18.)
func Forget(addrs ...netip.Addr) error {
	wanted := map[netip.Addr]bool{}
	families := map[netlink.InetFamily]bool{}
	for _, addr := range addrs {
		wanted[addr] = true
		if addr.Is4() {
			families[unix.AF_INET] = true
		} else {
			families[unix.AF_INET6] = true
		}
	}
	var errs []error
	for family := range families {
		if _, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, family, leadingTo(wanted)); err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
			errs = append(errs, fmt.Errorf("cannot forget connections to containers that are gone: %w", err))
		}
	}
	return errors.Join(errs...)
}

// leadingTo matches connections that are answered by one of some addresses.
type leadingTo map[netip.Addr]bool

// MatchConntrackFlow implements netlink.CustomConntrackFilter.
func (l leadingTo) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	from, ok := netip.AddrFromSlice(flow.Reverse.SrcIP)
	return ok && l[from.Unmap()]
}
