package network

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// repairDelay is how long the guard lets a disturbance go on before it looks:
// a reload of a firewall is many changes.
const repairDelay = 50 * time.Millisecond

// listenAgain is how long the guard waits before it subscribes anew.
const listenAgain = time.Second

// Guard repairs what others remove of the networks (a reload of the host's
// nftables takes the table along, a network manager may delete links), as soon
// as the kernel tells of it, until ctx ends. After each attempt repaired is
// called with what could not be mended.
func (m *Manager) Guard(ctx context.Context, repaired func(error)) error {
	for heard := false; ; heard = true {
		err := m.listen(ctx, repaired)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !heard {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(listenAgain):
		}
	}
}

// listen repairs as long as the kernel's messages come: with too many at once
// a subscription ends. An error says that there was none.
func (m *Manager) listen(ctx context.Context, repaired func(error)) error {
	tables, err := nl.Subscribe(unix.NETLINK_NETFILTER, unix.NFNLGRP_NFTABLES)
	if err != nil {
		return fmt.Errorf("cannot watch nftables: %w", err)
	}
	defer tables.Close()
	links, done := make(chan netlink.LinkUpdate, 64), make(chan struct{})
	err = netlink.LinkSubscribeWithOptions(links, done, netlink.LinkSubscribeOptions{ReceiveBufferSize: 1 << 20})
	if err != nil {
		return fmt.Errorf("cannot watch the links of this machine: %w", err)
	}
	var tableWatch sync.WaitGroup
	lost, deaf := make(chan struct{}, 1), make(chan struct{})
	tableWatch.Go(func() { defer close(deaf); watchTables(tables, lost) })
	defer func() {
		close(done)
		for range links { // until its goroutine has left
		}
		tables.Close()
		tableWatch.Wait()
	}()
	repaired(m.repair(ctx)) // what happened before was not heard
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-deaf:
			return nil
		case l, ok := <-links:
			if !ok {
				return nil
			}
			if l.Header.Type != unix.RTM_DELLINK || !m.isOurs(l.Attrs().Name) {
				continue
			}
		case <-lost:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(repairDelay):
		}
		repaired(m.repair(ctx))
	}
}

// isOurs says whether a link belongs to a network or a sandbox that is there.
func (m *Manager) isOurs(link string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.linkNames[link]
}

// deletedTable is the kernel's message that a table of nftables is gone.
const deletedTable = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_DELTABLE

// watchTables tells when a table of nftables is gone (ours may be it), until
// the connection is closed or overrun.
func watchTables(conn *nl.NetlinkSocket, lost chan<- struct{}) {
	for {
		messages, _, err := conn.Receive()
		if err != nil {
			return
		}
		for _, msg := range messages {
			if msg.Header.Type == deletedTable {
				select {
				case lost <- struct{}{}:
				default:
				}
			}
		}
	}
}

// repair makes again what is missing of the networks and sandboxes.
func (m *Manager) repair(ctx context.Context) error {
	m.netMu.Lock()
	defer m.netMu.Unlock()
	var errs []error
	for _, n := range m.Networks() {
		errs = append(errs, m.verify(ctx, n))
	}
	links, err := m.ourLinks()
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	for _, s := range m.ready() {
		for i, e := range s.Endpoints {
			if links[e.Link] != nil {
				continue
			}
			err := m.adoptEndpoint(s, i, e, links)
			if !m.isOurs(e.Link) { // the sandbox was removed meanwhile
				err = m.reaper.remove(e.Link)
			}
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// ready are the sandboxes that nobody is just making or removing.
func (m *Manager) ready() []*sandbox {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []*sandbox
	for _, s := range m.sandboxes {
		if s.Ready && !s.busy {
			list = append(list, s)
		}
	}
	return list
}
