// Package sockets looks at the sockets of a network namespace from outside: who listens
// there, and whether its clients still wait for something.
package sockets

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/runner/network/netns"
)

// States of a socket, as the kernel numbers them.
const (
	established = 1
	synReceived = 3
	closeWait   = 8
	unconnected = 7 // of UDP
	listening   = 10
)

// Listens says whether a program in the namespace at path accepts connections of TCP, or
// datagrams of UDP, to an address of it, and whether what it sends elsewhere leaves by that
// address.
func Listens(path string, proto byte, at netip.AddrPort) (listens, leaves bool, err error) {
	err = netns.In(path, func() error {
		h, err := netlink.NewHandle(unix.NETLINK_INET_DIAG, unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer h.Close()
		if listens, err = isListening(h, proto, at); err != nil || !listens {
			return err
		}
		routes, err := h.RouteGet(elsewhere(at.Addr()).AsSlice())
		if err != nil {
			return nil // there is no way out
		}
		leaves = slices.ContainsFunc(routes, func(r netlink.Route) bool { return addrOf(r.Src) == at.Addr() })
		return nil
	})
	return listens, leaves, err
}

func isListening(h *netlink.Handle, proto byte, at netip.AddrPort) (bool, error) {
	dump, state := h.SocketDiagTCP, uint8(listening)
	if proto == unix.IPPROTO_UDP {
		dump, state = h.SocketDiagUDP, unconnected
	}
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		sockets, err := dump(family)
		if err != nil {
			return false, err
		}
		for _, s := range sockets {
			on := addrOf(s.ID.Source)
			// A socket of IPv6 for all addresses is taken to be one of IPv4 as well, which it
			// is unless its program has asked for another.
			isAny := on.IsUnspecified() && (family == unix.AF_INET6 || at.Addr().Is4())
			if s.State == state && s.ID.SourcePort == at.Port() && (isAny || on == at.Addr()) {
				return true, nil
			}
		}
	}
	return false, nil
}

// elsewhere is an address that nobody has (RFC 5737, RFC 3849).
func elsewhere(like netip.Addr) netip.Addr {
	if like.Is4() {
		return netip.AddrFrom4([4]byte{192, 0, 2, 1})
	}
	return netip.MustParseAddr("2001:db8::1")
}

func addrOf(ip []byte) netip.Addr {
	addr, _ := netip.AddrFromSlice(ip)
	return addr.Unmap()
}

// Patience is how long Settle waits for what.
type Patience struct {
	// Unseen bounds how long what a client said last counts as a request.
	Unseen time.Duration
	// Near are the ranges whose clients are none of this.
	Near []netip.Prefix
}

const (
	// quiet is how long a connection is waited for on which both sides have just spoken.
	quiet = 50 * time.Millisecond
	// newcomer is how long a client that has just come may take to say something.
	newcomer = time.Second
	// calm is for how long nobody must have come: what was sent here before its rule was
	// taken away may still be on its way.
	calm = 5 * time.Millisecond
)

// Settle waits until no client of some ports of the namespace at path waits for anything:
// none is just connecting, none that has connected is yet to say its first word, and none
// has said something that was not answered. Of a connection on which both sides have
// spoken that is told by who did so last, as nobody reads along. It says how many were not
// answered when ctx ended.
func Settle(ctx context.Context, path string, ports []uint16, patience Patience) (busy int, err error) {
	err = netns.In(path, func() error {
		h, err := netlink.NewHandle(unix.NETLINK_INET_DIAG)
		if err != nil {
			return err
		}
		defer h.Close()
		w := watch{patience: patience, ports: ports, began: time.Now(), settled: map[connection]bool{}}
		clear := time.Now()
		for pause := time.Millisecond; ; pause = min(2*pause, 10*time.Millisecond) {
			if busy, err = w.look(h); err != nil {
				return err
			}
			if busy > 0 {
				clear = time.Now()
			} else if time.Since(clear) >= calm {
				return nil
			}
			// The kernel has no event for an answer.
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return nil
			}
		}
	})
	return busy, err
}

// watch is a look at clients, again and again.
type watch struct {
	patience Patience
	ports    []uint16
	began    time.Time
	settled  map[connection]bool // seen without anything under way
}

type connection struct {
	local, remote netip.AddrPort
}

func (w *watch) look(h *netlink.Handle) (busy int, err error) {
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		sockets, err := h.SocketDiagTCPInfo(family)
		if err != nil {
			return 0, err
		}
		for _, s := range sockets {
			id := s.InetDiagMsg.ID
			c := connection{netip.AddrPortFrom(addrOf(id.Source), id.SourcePort), netip.AddrPortFrom(addrOf(id.Destination), id.DestinationPort)}
			if !slices.Contains(w.ports, c.local.Port()) || w.isNear(c.remote.Addr()) || w.settled[c] {
				continue
			}
			if w.isBusy(s.InetDiagMsg.State, s.InetDiagMsg.RQueue+s.InetDiagMsg.WQueue, s.TCPInfo) {
				busy++
			} else if s.InetDiagMsg.State != listening {
				w.settled[c] = true
			}
		}
	}
	return busy, nil
}

func (w *watch) isNear(remote netip.Addr) bool {
	return remote.IsLoopback() || slices.ContainsFunc(w.patience.Near, func(p netip.Prefix) bool { return p.Contains(remote) })
}

// isBusy says that a client waits for something.
func (w *watch) isBusy(state uint8, queued uint32, info *netlink.TCPInfo) bool {
	waited := time.Since(w.began)
	switch state {
	case synReceived:
		return waited < w.patience.Unseen
	case established, closeWait:
	default:
		return false
	}
	if info == nil {
		return false
	}
	heard, said := time.Duration(info.Last_data_recv)*time.Millisecond, time.Duration(info.Last_data_sent)*time.Millisecond
	switch {
	case queued > 0 || heard < said:
		return waited < w.patience.Unseen
	case info.Bytes_received == 0:
		return heard < min(newcomer, w.patience.Unseen)
	}
	return waited < quiet && said < quiet
}
