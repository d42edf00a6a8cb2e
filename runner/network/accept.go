package network

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/runner/network/netns"
)

// tcpListen is TCP_LISTEN of the kernel.
const tcpListen = 10

// AwaitAccept waits until the program in a sandbox has accepted every connection
// that the kernel has established for it on one of the ports, until ctx is
// done at the longest. Of a listener that is closed the kernel resets those
// that nobody has accepted, so a program that is to end without losing a
// request waits for that first, once nothing new is led to it.
func (m *Manager) AwaitAccept(ctx context.Context, id string, ports []uint16) error {
	st, ok := m.Sandbox(id)
	if !ok || len(ports) == 0 {
		return nil
	}
	err := netns.In(st.NetnsPath, func() error {
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
	})
	if err != nil {
		return fmt.Errorf("cannot wait for %s to accept its connections: %w", id, err)
	}
	return nil
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
