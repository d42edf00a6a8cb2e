package links

import (
	"context"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// tcpListen is TCP_LISTEN of the kernel.
const tcpListen = 10

// AwaitAccept waits until every connection that the kernel has established on one of
// the ports, in the namespace of the calling thread, was accepted; until ctx is done
// at the longest.
func AwaitAccept(ctx context.Context, ports []uint16) error {
	h, err := netlink.NewHandle(unix.NETLINK_INET_DIAG)
	if err != nil {
		return err
	}
	defer h.Close()
	// The kernel has no event for an empty queue.
	for pause := 200 * time.Microsecond; ; pause = min(2*pause, 5*time.Millisecond) {
		waiting, err := backlog(h, ports)
		if err != nil || !waiting {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// backlog says whether a listener on one of the ports has connections that
// were not accepted.
func backlog(h *netlink.Handle, ports []uint16) (bool, error) {
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		sockets, err := h.SocketDiagTCP(family)
		if err != nil {
			return false, err
		}
		for _, s := range sockets {
			if s.State == tcpListen && s.RQueue > 0 && slices.Contains(ports, s.ID.SourcePort) {
				return true, nil
			}
		}
	}
	return false, nil
}
