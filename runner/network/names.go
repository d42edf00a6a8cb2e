package network

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/runner/network/firewall"
	"github.com/orlop/orlop/runner/network/nameserver"
	"github.com/orlop/orlop/runner/network/netns"
)

func dnsKey(id string) string { return "dns/" + id }

// shortID is the part of an id that resolves.
func shortID(id string) string { return id[:min(len(id), 12)] }

// host is what others may find of a sandbox. The manager's lock is held.
func (s *sandbox) host() nameserver.Host {
	h := nameserver.Host{ID: s.ID, Name: s.label(shortID(s.ID)), IsActive: s.Alive}
	for i, e := range s.Endpoints {
		if e.Detached {
			continue
		}
		spec := s.Spec.Endpoints[i]
		own := slices.DeleteFunc(slices.Clone(s.Spec.Names), func(name string) bool { return slices.Contains(spec.Without, name) })
		names := slices.Concat(own, spec.Aliases, []string{shortID(s.ID)})
		for _, addr := range []netip.Addr{e.Address, e.Address6} {
			if addr.IsValid() {
				h.Places = append(h.Places, nameserver.Place{Network: e.Network, Address: addr, Names: names})
			}
		}
	}
	return h
}

// openNameServer opens a name server's sockets in the network namespace of the calling
// thread and redirects port 53 to them, in place of earlier ones if there were.
func openNameServer(replace bool) (nameserver.Sockets, error) {
	socks, err := nameserver.Open(netip.MustParseAddr(NameServer))
	if err != nil {
		return nameserver.Sockets{}, err
	}
	if err := redirectDNS(socks, replace); err != nil {
		socks.Close()
		return nameserver.Sockets{}, fmt.Errorf("cannot lead port 53 to a name server: %w", err)
	}
	return socks, nil
}

// redirectDNS leads port 53 of NameServer to the sockets in the network namespace
// of the calling thread, which is theirs.
func redirectDNS(socks nameserver.Sockets, replace bool) error {
	udp, tcp := socks.Ports()
	return firewall.Redirect(netip.MustParseAddr(NameServer), map[byte]uint16{unix.IPPROTO_UDP: udp, unix.IPPROTO_TCP: tcp}, replace)
}

// serveNames starts a sandbox's name server, and has its sockets kept if that
// is new to the keeper.
func (m *Manager) serveNames(ctx context.Context, s *sandbox, socks nameserver.Sockets, keep bool) error {
	if keep && m.cfg.Sockets != nil {
		files, err := socks.Files()
		if err == nil {
			err = m.cfg.Sockets.Keep(ctx, dnsKey(s.ID), files...)
			closeAll(files)
		}
		if err != nil {
			socks.Close()
			return fmt.Errorf("cannot have the name server kept: %w", err)
		}
	}
	m.mu.Lock()
	s.dns = m.resolver.Serve(socks, m.view(s))
	m.mu.Unlock()
	return nil
}

// view is what a sandbox may know. The manager's lock is held.
func (m *Manager) view(s *sandbox) nameserver.View {
	v := nameserver.View{Extra: map[string][]netip.Addr{}, Links: map[string][]string{}}
	for name, addrs := range s.Spec.ExtraHosts {
		v.Extra[strings.ToLower(name)] = addrs
	}
	for alias, names := range s.Spec.Links {
		v.Links[strings.ToLower(alias)] = names
	}
	for _, e := range s.Endpoints {
		v.Networks = append(v.Networks, e.Network)
		n, ok := m.networks[e.Network]
		if !ok {
			continue
		}
		for _, r := range n.ranges() {
			v.Subnets = append(v.Subnets, r.Subnet)
		}
		v.External = v.External || !n.Internal
	}
	for _, addr := range s.Spec.Resolvers {
		v.Upstreams = append(v.Upstreams, netip.AddrPortFrom(addr, 53))
	}
	v.Dial = m.dialFrom(s.ID)
	return v
}

// dialFrom connects from a sandbox's network namespace: its own resolvers are asked
// the way that its programs would ask them, on its loopback and through its VPN too,
// and nothing is reached that they could not reach.
func (m *Manager) dialFrom(id string) nameserver.Dial {
	return func(ctx context.Context, network string, to netip.AddrPort) (c net.Conn, err error) {
		err = netns.In(m.netnsPath(id), func() (err error) {
			var d net.Dialer
			c, err = d.DialContext(ctx, network, to.String()) // the socket is made on this thread
			return err
		})
		return c, err
	}
}

// adoptNames has a sandbox's names answered as before, at its kept sockets where
// there are any.
func (m *Manager) adoptNames(ctx context.Context, s *sandbox) error {
	if m.cfg.Sockets != nil {
		files, err := m.cfg.Sockets.Take(ctx, dnsKey(s.ID))
		if err != nil {
			return fmt.Errorf("cannot take the kept name server back: %w", err)
		}
		if len(files) > 0 {
			socks, err := nameserver.SocketsOf(files)
			if err == nil {
				return m.serveNames(ctx, s, socks, false)
			}
			m.cfg.Log.Warn("a kept name server is of no use; a new one is opened", "sandbox", s.ID, "error", err)
		}
	}
	var socks nameserver.Sockets
	err := netns.In(m.netnsPath(s.ID), func() (err error) {
		socks, err = openNameServer(true)
		return err
	})
	if err != nil {
		return err
	}
	return m.serveNames(ctx, s, socks, true)
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
