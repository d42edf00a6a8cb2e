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

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Interest says what matters to who listens: the rest of the machine may
// change as it likes.
type Interest struct {
	Link    func(name string) bool
	Address func(addr netip.Addr) bool
	Route   func(to netip.Prefix) bool // the zero Prefix is the default route
	Table   func(name string) bool     // of nftables
	Mount   func() bool                // asked when any mount has changed, as with each container
}

// Listen calls changed whenever something of interest may have changed, until ctx
// ends (nil), or the kernel has more to say than could be heard: the
// listener is to look at everything, and listen anew. ready is called once it
// listens. What happens inside of the network namespaces that the machine has
// links to is heard, too.
func Listen(ctx context.Context, is Interest, ready, changed func()) error {
	routes, err := subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK,
		unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV6_ROUTE)
	if err != nil {
		return fmt.Errorf("cannot watch the links of this machine: %w", err)
	}
	defer routes.Close()
	tables, err := subscribe(unix.NETLINK_NETFILTER, unix.NFNLGRP_NFTABLES)
	if err != nil {
		return fmt.Errorf("cannot watch nftables: %w", err)
	}
	defer tables.Close()
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
	listen := func(conn *nl.NetlinkSocket, concerns func(messageType uint16, data []byte) bool) {
		defer cancel()
		receive(conn, func(t uint16, data []byte) {
			if concerns(t, data) {
				changed()
			}
		})
	}
	all.Go(func() { listen(routes, is.inRoutes) })
	all.Go(func() { listen(tables, is.inTables) })
	all.Go(func() {
		defer cancel()
		watchMounts(table, stop, func() {
			if is.Mount() {
				changed()
			}
		})
	})
	ready()
	<-ctx.Done()
	wake.Close()
	routes.Close()
	tables.Close()
	all.Wait()
	return nil
}

// subscribe joins groups of a netlink protocol, in all network namespaces that the
// machine's own has an id for: those that its links lead into.
func subscribe(protocol int, groups ...uint) (*nl.NetlinkSocket, error) {
	conn, err := nl.Subscribe(protocol, groups...)
	if err != nil {
		return nil, err
	}
	// Without it, what happens on this side is heard at least.
	_ = unix.SetsockoptInt(conn.GetFd(), unix.SOL_NETLINK, unix.NETLINK_LISTEN_ALL_NSID, 1)
	_ = unix.SetsockoptInt(conn.GetFd(), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 1<<20)
	return conn, nil
}

// receive gives each message, until the connection is closed or overrun.
func receive(conn *nl.NetlinkSocket, each func(messageType uint16, data []byte)) {
	for {
		messages, _, err := conn.Receive()
		if err != nil {
			return
		}
		for _, m := range messages {
			each(m.Header.Type, m.Data)
		}
	}
}

// inRoutes says that a message of rtnetlink is of interest.
func (is *Interest) inRoutes(messageType uint16, data []byte) bool {
	switch messageType {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		return is.inLink(messageType, data)
	case unix.RTM_DELADDR:
		attrs := attributes(data, unix.SizeofIfAddrmsg)
		addr, ok := netip.AddrFromSlice(attrs[unix.IFA_LOCAL])
		if !ok { // of IPv6 it says so only where there is a peer
			addr, ok = netip.AddrFromSlice(attrs[unix.IFA_ADDRESS])
		}
		return ok && is.Address(addr)
	case unix.RTM_DELROUTE:
		if len(data) < unix.SizeofRtMsg || nl.DeserializeRtMsg(data).Table != unix.RT_TABLE_MAIN {
			return false
		}
		addr, ok := netip.AddrFromSlice(attributes(data, unix.SizeofRtMsg)[unix.RTA_DST])
		if !ok {
			return is.Route(netip.Prefix{})
		}
		return is.Route(netip.PrefixFrom(addr, int(nl.DeserializeRtMsg(data).Dst_len)))
	}
	return false
}

// inLink says that a link of interest is gone, off its bridge (which the kernel tells
// as the end of a link of the bridge's), down, or that its other end is.
func (is *Interest) inLink(messageType uint16, data []byte) bool {
	if len(data) < unix.SizeofIfInfomsg {
		return false
	}
	attrs, flags := attributes(data, unix.SizeofIfInfomsg), nl.DeserializeIfInfomsg(data).Flags
	_, isPort := attrs[unix.IFLA_MASTER] // a bridge without any has nothing to lead to
	if messageType == unix.RTM_NEWLINK && flags&unix.IFF_UP != 0 && (flags&unix.IFF_LOWER_UP != 0 || !isPort) {
		return false
	}
	return is.Link(strings.TrimRight(string(attrs[unix.IFLA_IFNAME]), "\x00"))
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
func (is *Interest) inTables(messageType uint16, data []byte) bool {
	if messageType>>8 != unix.NFNL_SUBSYS_NFTABLES {
		return false
	}
	switch messageType & 0xff {
	case unix.NFT_MSG_DELTABLE, unix.NFT_MSG_DELCHAIN, unix.NFT_MSG_DELRULE, unix.NFT_MSG_DELSET, unix.NFT_MSG_DELSETELEM:
		return is.Table(strings.TrimRight(string(attributes(data, sizeofNfgenmsg)[attrTable]), "\x00"))
	}
	return false
}

// watchMounts tells of each change of the table of mounts until stop ends.
func watchMounts(table int, stop *os.File, changed func()) {
	fds := []unix.PollFd{{Fd: int32(table), Events: unix.POLLPRI}, {Fd: int32(stop.Fd()), Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(fds, -1)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil || fds[1].Revents != 0:
			return
		default:
			changed()
		}
	}
}
