// Package kernel hears from the kernel that something of a network may have been
// changed by somebody else: a link removed or set down, an address or a route
// taken away, a rule of the firewall, a mount. It says that there is something to
// look at, not what; what should be there is for others to know.
package kernel

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Namespace is a network namespace as that of the listener numbers it.
type Namespace int32

// Here is the namespace of the listener, and what a namespace has for a number that
// has none.
const Here Namespace = -1

// NumberOf is the number of the namespace that is mounted at path, seen from the one
// that the handle is in. It is given one if it has none.
func NumberOf(h *netlink.Handle, path string) (Namespace, error) {
	ns, err := os.Open(path)
	if err != nil {
		return Here, fmt.Errorf("cannot number a network namespace: %w", err)
	}
	defer ns.Close()
	n, err := h.GetNetNsIdByFd(int(ns.Fd()))
	if err == nil && n < 0 {
		err = h.SetNetNsIdByFd(int(ns.Fd()), -1) // any
		if err == nil || errors.Is(err, unix.EEXIST) {
			n, err = h.GetNetNsIdByFd(int(ns.Fd()))
		}
	}
	if err == nil && n < 0 {
		err = errors.New("the kernel has none for it")
	}
	if err != nil {
		return Here, fmt.Errorf("cannot number network namespace %s: %w", path, err)
	}
	return Namespace(n), nil
}

// Change is what a message tells.
type Change struct {
	Link string // the name of the link that it is about; "" if it is about something else
	// Adds: nothing that was there is gone, replaced or down. A link may have had another
	// name before.
	Adds bool
}

// Interest says what matters to who listens: the rest of the machine may
// change as it likes.
type Interest struct {
	// Told is called with each message about links, addresses, routes and watched tables:
	// what was seen there may be otherwise.
	Told    func(in Namespace, of Change)
	Link    func(in Namespace, name string) bool
	Address func(in Namespace, addr netip.Addr) bool
	Route   func(in Namespace, to netip.Prefix) bool // the zero Prefix is the default route
	Table   func(in Namespace, name string) bool     // of nftables
	Mount   func() bool                              // asked when any mount has changed, as with each container
}

// Listener hears of changes here, and in the network namespaces that this one has a
// number for: those that its links lead into, and those of NumberOf.
type Listener struct {
	is      Interest
	changed func()
	routes  *socket
	tables  *socket
}

// Listen begins to listen. changed is called whenever something of interest may have
// changed, by Hear and Run; the caller runs the listener, which closes it.
func Listen(is Interest, changed func()) (*Listener, error) {
	l := &Listener{is: is, changed: changed}
	var err error
	l.routes, err = subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK,
		unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV6_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("cannot watch the links of this machine: %w", err)
	}
	l.tables, err = subscribe(unix.NETLINK_NETFILTER, unix.NFNLGRP_NFTABLES)
	if err != nil {
		l.routes.file.Close()
		return nil, fmt.Errorf("cannot watch nftables: %w", err)
	}
	return l, nil
}

// Hear takes in what the kernel has told by now, which is all that was changed before,
// but for mounts. It fails where there was more to tell than could be heard.
func (l *Listener) Hear() error {
	return errors.Join(l.routes.hear(l.is.inRoutes, l.changed), l.tables.hear(l.is.inTables, l.changed))
}

// Run hears until ctx ends (nil), or until the kernel has had more to tell than could be
// heard: then everything is to be looked at, and listened for anew.
func (l *Listener) Run(ctx context.Context) error {
	defer l.routes.file.Close()
	defer l.tables.file.Close()
	// Not by package os, whose poller would look at it too: each change is told to who
	// asks first.
	table, err := unix.Open("/proc/self/mountinfo", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("cannot watch the mounts of this machine: %w", err)
	}
	defer unix.Close(table)
	stop, wake, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("cannot watch the mounts of this machine: %w", err)
	}
	defer stop.Close()

	var all sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	until := func(f func()) {
		all.Go(func() {
			defer cancel()
			f()
		})
	}
	until(func() { l.routes.listen(l.is.inRoutes, l.changed) })
	until(func() { l.tables.listen(l.is.inTables, l.changed) })
	until(func() {
		watchMounts(table, stop, l.is.Mount, l.changed)
	})
	<-ctx.Done()
	wake.Close()
	l.routes.file.Close()
	l.tables.file.Close()
	all.Wait()
	return nil
}

// inRoutes says that a message of rtnetlink is of interest.
func (is *Interest) inRoutes(in Namespace, header syscall.NlMsghdr, data []byte) bool {
	switch header.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		return is.inLink(in, header.Type, data)
	}
	is.Told(in, Change{Adds: addsOnly(header, data)})
	switch header.Type {
	case unix.RTM_DELADDR:
		attrs := attributes(data, unix.SizeofIfAddrmsg)
		addr, ok := netip.AddrFromSlice(attrs[unix.IFA_LOCAL])
		if !ok { // of IPv6 it says so only where there is a peer
			addr, ok = netip.AddrFromSlice(attrs[unix.IFA_ADDRESS])
		}
		return ok && is.Address(in, addr)
	case unix.RTM_DELROUTE:
		if !isMain(data) {
			return false
		}
		addr, ok := netip.AddrFromSlice(attributes(data, unix.SizeofRtMsg)[unix.RTA_DST])
		if !ok {
			return is.Route(in, netip.Prefix{})
		}
		return is.Route(in, netip.PrefixFrom(addr, int(nl.DeserializeRtMsg(data).Dst_len)))
	}
	return false
}

// addsOnly says that a message about addresses or routes takes nothing away of what the
// rest of the machine goes by.
func addsOnly(header syscall.NlMsghdr, data []byte) bool {
	switch header.Type {
	case unix.RTM_NEWADDR:
		return true
	case unix.RTM_NEWROUTE:
		return header.Flags&unix.NLM_F_REPLACE == 0 || !isMain(data)
	case unix.RTM_DELROUTE:
		return !isMain(data)
	}
	return false
}

// isMain says that a message about a route is one of the main table's.
func isMain(data []byte) bool {
	return len(data) >= unix.SizeofRtMsg && nl.DeserializeRtMsg(data).Table == unix.RT_TABLE_MAIN
}

// inLink says that a link of interest is gone, off its bridge (which the kernel tells
// as the end of a link of the bridge's), down, or that its other end is.
func (is *Interest) inLink(in Namespace, messageType uint16, data []byte) bool {
	if len(data) < unix.SizeofIfInfomsg {
		is.Told(in, Change{})
		return false
	}
	attrs, flags := attributes(data, unix.SizeofIfInfomsg), nl.DeserializeIfInfomsg(data).Flags
	name := strings.TrimRight(string(attrs[unix.IFLA_IFNAME]), "\x00")
	_, isPort := attrs[unix.IFLA_MASTER] // a bridge without any has nothing to lead to
	isWell := messageType == unix.RTM_NEWLINK && flags&unix.IFF_UP != 0 && (flags&unix.IFF_LOWER_UP != 0 || !isPort)
	is.Told(in, Change{Link: name, Adds: isWell})
	return !isWell && is.Link(in, name)
}

// attributes are those of a message, by their types.
func attributes(data []byte, after int) map[uint16][]byte {
	out := map[uint16][]byte{}
	if len(data) < after {
		return out
	}
	all, err := nl.ParseRouteAttr(data[after:])
	if err != nil {
		return out
	}
	for _, a := range all {
		out[a.Attr.Type] = a.Value
	}
	return out
}

// Messages of nftables, all of which name the table in their first attribute.
const (
	sizeofNfgenmsg = 4
	attrTable      = 1 // NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, NFTA_SET_TABLE, NFTA_SET_ELEM_LIST_TABLE
)

// inTables says that something of a table of interest was removed.
func (is *Interest) inTables(in Namespace, header syscall.NlMsghdr, data []byte) bool {
	if header.Type>>8 != unix.NFNL_SUBSYS_NFTABLES || !is.Table(in, strings.TrimRight(string(attributes(data, sizeofNfgenmsg)[attrTable]), "\x00")) {
		return false
	}
	is.Told(in, Change{})
	switch header.Type & 0xff {
	case unix.NFT_MSG_DELTABLE, unix.NFT_MSG_DELCHAIN, unix.NFT_MSG_DELRULE, unix.NFT_MSG_DELSET, unix.NFT_MSG_DELSETELEM:
		return true
	}
	return false
}

// settleMounts is how long the mounts may go on changing before they are looked at: each container
// changes them some times. Where a look takes long, as with many containers, the next one waits settleTimes as
// long as that, and mostSettling at most.
const (
	settleMounts = 50 * time.Millisecond
	settleTimes  = 100
	mostSettling = time.Second
)

// watchMounts looks, until stop ends, whenever the table of mounts has changed, and tells of what concerns us.
func watchMounts(table int, stop *os.File, concerns func() bool, changed func()) {
	fds := []unix.PollFd{{Fd: int32(table), Events: unix.POLLPRI}, {Fd: int32(stop.Fd()), Events: unix.POLLIN}}
	for settle := settleMounts; ; {
		_, err := unix.Poll(fds, -1)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil || fds[1].Revents != 0:
			return
		default:
			_, err := unix.Poll(fds[1:], int(settle.Milliseconds()))
			if err != nil && !errors.Is(err, unix.EINTR) || fds[1].Revents != 0 {
				return
			}
			began := time.Now()
			isOurs := concerns()
			settle = min(max(settleMounts, settleTimes*time.Since(began)), mostSettling)
			if isOurs {
				changed()
			}
		}
	}
}
