package ruleset

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lookAgain is how often it is looked at what the kernel does not tell of.
const lookAgain = 2 * time.Second

// Watch calls changed whenever what Read tells may be otherwise, until ctx ends. It has
// called it once when it listens. Changes of tables that are ours make no difference.
func (h Host) Watch(ctx context.Context, changed func()) error {
	tables, err := subscribe(unix.NETLINK_NETFILTER, unix.NFNLGRP_NFTABLES)
	if err != nil {
		return fmt.Errorf("cannot watch nftables: %w", err)
	}
	routes, err := subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE, unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF)
	if err != nil {
		tables.Close()
		return fmt.Errorf("cannot watch the rules of routing: %w", err)
	}
	was := untold()
	changed()
	var all sync.WaitGroup
	deaf := make(chan error, 2)
	all.Go(func() { deaf <- hear(tables, h.concerns, changed) })
	all.Go(func() { deaf <- hear(routes, concernsRouting, changed) })
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for ctx.Err() == nil && err == nil {
		select {
		case <-ctx.Done():
		case err = <-deaf:
			err = fmt.Errorf("cannot hear of changes of the host's rules: %w", err)
		case <-tick.C:
			if is := untold(); !slices.Equal(is, was) {
				was = is
				changed()
			}
		}
	}
	tables.Close()
	routes.Close()
	all.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// untold is what the kernel tells nobody of, or of which it would tell with each address: tables of the old
// iptables, and routes that go by the sender.
func untold() []string { return append(append(legacyTables("ip"), legacyTables("ip6")...), sourced()) }

// concerns says that a message of nftables is of somebody else's table.
func (h Host) concerns(m syscall.NetlinkMessage) bool {
	if m.Header.Type&0xff == unix.NFT_MSG_NEWGEN || len(m.Data) < nfgenmsg {
		return false // it follows each change
	}
	const table = 1 // in messages of all kinds
	return !h.Table(text(attributes(m.Data[nfgenmsg:])[table]))
}

// concernsRouting says that a message tells of a rule of routing, of forwarding altogether,
// or of a link that does not forward; each new link says that it does.
func concernsRouting(m syscall.NetlinkMessage) bool {
	if m.Header.Type != unix.RTM_NEWNETCONF {
		return true
	}
	if len(m.Data) < netconfmsg {
		return true
	}
	link, forwards, ok := netconf(m.Data)
	return ok && (link == allLinks || !forwards)
}

func subscribe(protocol int, groups ...int) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "netlink")
	err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	for _, group := range groups {
		if err == nil {
			err = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group)
		}
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// hear tells of messages that are of interest until the socket is closed. Where there was
// more than could be heard, something was.
func hear(socket *os.File, concerns func(syscall.NetlinkMessage) bool, changed func()) error {
	buffer := make([]byte, 64<<10) // the longest that the kernel sends at once
	for {
		n, err := socket.Read(buffer)
		switch {
		case errors.Is(err, unix.ENOBUFS):
			changed()
			continue
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return err
		}
		messages, err := syscall.ParseNetlinkMessage(buffer[:n])
		if err != nil || slices.ContainsFunc(messages, concerns) {
			changed()
		}
	}
}
