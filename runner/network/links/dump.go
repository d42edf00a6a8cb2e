// Package links reads the links, addresses and routes of a network namespace whole,
// and removes links. Which should be there it does not know.
package links

import (
	"errors"

	"github.com/vishvananda/netlink"
)

// dumpTries bounds how often a list is asked for anew.
const dumpTries = 50

// Dump asks the kernel for a list, and again where something changed while it
// was read: such a list may lack what was there all the time.
func Dump[T any](list func() ([]T, error)) ([]T, error) {
	for try := 1; ; try++ {
		all, err := list()
		if !errors.Is(err, netlink.ErrDumpInterrupted) || try == dumpTries {
			return all, err
		}
	}
}

// Addresses lists the addresses of a link, or of all.
func Addresses(links *netlink.Handle, link netlink.Link) ([]netlink.Addr, error) {
	return Dump(func() ([]netlink.Addr, error) { return links.AddrList(link, netlink.FAMILY_ALL) })
}
