package network

import (
	"errors"

	"github.com/vishvananda/netlink"
)

// dumpTries bounds how often a list is asked for anew.
const dumpTries = 50

// dump asks the kernel for a list, and again where something changed while it
// was read: such a list may lack what was there all the time.
func dump[T any](list func() ([]T, error)) ([]T, error) {
	for try := 1; ; try++ {
		all, err := list()
		if !errors.Is(err, netlink.ErrDumpInterrupted) || try == dumpTries {
			return all, err
		}
	}
}

// addresses lists the IPv4 addresses of a link, or of all.
func addresses(links *netlink.Handle, link netlink.Link) ([]netlink.Addr, error) {
	return dump(func() ([]netlink.Addr, error) { return links.AddrList(link, netlink.FAMILY_V4) })
}
