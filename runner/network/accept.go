package network

import (
	"context"

	"github.com/orlop/orlop/runner/network/links"
	"github.com/orlop/orlop/runner/network/netns"
)

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
	return netns.In(st.NetnsPath, func() error { return links.AwaitAccept(ctx, ports) })
}
