package keeper

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// udpIdle ends a session that carried nothing either way for so long.
	udpIdle = 60 * time.Second
	// maxSessions bounds the clients of one UDP port.
	maxSessions = 4096
	// maxDatagrams and maxDatagramBytes bound what a parked UDP port remembers:
	// the newest are kept.
	maxDatagrams     = 64
	maxDatagramBytes = 64 << 10
)

// datagrams lends buffers large enough for any datagram. A buffer is taken
// only while there is something to read, so that idle sockets cost none.
var datagrams = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}

// udpFace gives each client a session: a socket of its own to one backend.
type udpFace struct {
	port  *port
	sock  *net.UDPConn
	cmsgs bool // replies must name the address that the client wrote to

	mu       sync.Mutex
	sessions map[clientKey]*session
	parked   []datagram
	bytes    int
	closed   bool
}

// clientKey is a client, and the address of ours that it knows.
type clientKey struct {
	client netip.AddrPort
	local  netip.Addr
}

type datagram struct {
	from clientKey
	data []byte
}

type session struct {
	key     clientKey
	backend netip.AddrPort
	conn    *net.UDPConn
	idle    *time.Timer
}

func openUDP(p *port) error {
	network, address := p.spec.network()
	f := &udpFace{port: p, sessions: map[clientKey]*session{}}
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error { return wantLocalAddr(c) }}
	c, err := lc.ListenPacket(context.Background(), network, address)
	if err != nil {
		return err
	}
	f.sock = c.(*net.UDPConn)
	p.bound = localAddr(c.LocalAddr())
	f.cmsgs = p.bound.Addr().IsUnspecified()
	p.face = f
	go f.receive()
	return nil
}

// wantLocalAddr asks the kernel to tell, with each datagram, which of our
// addresses it was sent to. One of both options fits the socket's family.
func wantLocalAddr(c syscall.RawConn) error {
	var err4, err6 error
	err := c.Control(func(fd uintptr) {
		err4 = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_PKTINFO, 1)
		err6 = unix.SetsockoptInt(int(fd), unix.SOL_IPV6, unix.IPV6_RECVPKTINFO, 1)
	})
	if err != nil {
		return err
	}
	if err4 != nil && err6 != nil {
		return err4
	}
	return nil
}

// receive reads clients' datagrams until the socket is closed.
func (f *udpFace) receive() {
	rc, err := f.sock.SyscallConn()
	if err != nil {
		return
	}
	oob := make([]byte, 128)
	for {
		err := receiveOne(rc, oob, func(data, oob []byte, from unix.Sockaddr) {
			client, ok := addrPort(from)
			if !ok {
				return
			}
			f.dispatch(clientKey{client, destination(oob)}, data)
		})
		if errors.Is(err, net.ErrClosed) {
			return
		}
	}
}

// receiveOne waits until the socket is readable and hands one datagram to use,
// in a buffer that is lent for the call. An error of the socket itself
// (a refused port) is returned and clears it.
func receiveOne(rc syscall.RawConn, oob []byte, use func(data, oob []byte, from unix.Sockaddr)) error {
	var readErr error
	err := rc.Read(func(fd uintptr) bool {
		buf := datagrams.Get().(*[]byte)
		defer datagrams.Put(buf)
		n, oobn, _, from, err := unix.Recvmsg(int(fd), *buf, oob, 0)
		if err == unix.EAGAIN || err == unix.EINTR {
			return false
		}
		if err != nil {
			readErr = err
			return true
		}
		use((*buf)[:n], oob[:oobn], from)
		return true
	})
	if err != nil {
		return net.ErrClosed
	}
	return readErr
}

func addrPort(sa unix.Sockaddr) (netip.AddrPort, bool) {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)), true
	case *unix.SockaddrInet6:
		addr := netip.AddrFrom16(sa.Addr)
		if addr.IsLinkLocalUnicast() && sa.ZoneId != 0 {
			if ifi, err := net.InterfaceByIndex(int(sa.ZoneId)); err == nil {
				addr = addr.WithZone(ifi.Name)
			}
		}
		return netip.AddrPortFrom(addr, uint16(sa.Port)), true
	}
	return netip.AddrPort{}, false
}

// destination reads the address that a datagram was sent to out of its control
// messages: the zero Addr when there is none.
func destination(oob []byte) netip.Addr {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return netip.Addr{}
	}
	for _, m := range msgs {
		switch {
		case m.Header.Level == unix.SOL_IP && m.Header.Type == unix.IP_PKTINFO && len(m.Data) >= 12:
			return netip.AddrFrom4([4]byte(m.Data[8:12]))
		case m.Header.Level == unix.SOL_IPV6 && m.Header.Type == unix.IPV6_PKTINFO && len(m.Data) >= 16:
			return netip.AddrFrom16([16]byte(m.Data[:16]))
		}
	}
	return netip.Addr{}
}

// source builds the control message that makes a reply come from local.
func source(local netip.Addr) []byte {
	switch {
	case local.Is4():
		return unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: local.As4()})
	case local.IsValid():
		return unix.PktInfo6(&unix.Inet6Pktinfo{Addr: local.As16()})
	}
	return nil
}

// dispatch sends a datagram to the client's session, opening one if need be,
// or remembers it while the port is parked.
func (f *udpFace) dispatch(key clientKey, data []byte) {
	f.mu.Lock()
	s, ok := f.sessions[key]
	f.mu.Unlock()
	if ok {
		s.send(data)
		return
	}
	order, _, err := f.port.backends()
	if err != nil {
		return
	}
	if order == nil {
		f.remember(datagram{key, slices.Clone(data)})
		return
	}
	if s := f.openSession(key, order); s != nil {
		s.send(data)
	}
}

// send passes a datagram on. It may be lost, as any datagram may.
func (s *session) send(data []byte) {
	s.idle.Reset(udpIdle)
	_, _ = s.conn.Write(data)
}

func (f *udpFace) openSession(key clientKey, order []netip.AddrPort) *session {
	for _, backend := range order {
		c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(backend))
		if err != nil {
			continue
		}
		s := &session{key: key, backend: backend, conn: c}
		f.mu.Lock()
		if f.closed || len(f.sessions) >= maxSessions {
			f.mu.Unlock()
			c.Close()
			return nil
		}
		s.idle = time.AfterFunc(udpIdle, func() { f.end(s) })
		f.sessions[key] = s
		f.mu.Unlock()
		go f.answer(s)
		return s
	}
	return nil
}

// answer carries a backend's datagrams to the client until the session ends. A
// backend that refuses ends it too: the client's next datagram tries another.
func (f *udpFace) answer(s *session) {
	defer f.end(s)
	rc, err := s.conn.SyscallConn()
	if err != nil {
		return
	}
	var oob []byte
	if f.cmsgs {
		oob = source(s.key.local)
	}
	for {
		err := receiveOne(rc, nil, func(data, _ []byte, _ unix.Sockaddr) {
			s.idle.Reset(udpIdle)
			_, _, _ = f.sock.WriteMsgUDPAddrPort(data, oob, s.key.client)
		})
		if err != nil {
			return
		}
	}
}

func (f *udpFace) end(s *session) {
	f.mu.Lock()
	if f.sessions[s.key] == s {
		delete(f.sessions, s.key)
	}
	f.mu.Unlock()
	s.idle.Stop()
	s.conn.Close()
}

func (f *udpFace) remember(d datagram) {
	f.mu.Lock()
	f.parked = append(f.parked, d)
	f.bytes += len(d.data)
	for len(f.parked) > maxDatagrams || f.bytes > maxDatagramBytes {
		f.bytes -= len(f.parked[0].data)
		f.parked = slices.Delete(f.parked, 0, 1)
	}
	waiting := len(f.parked)
	f.mu.Unlock()
	f.port.mu.Lock()
	f.port.waiting = waiting
	changed := !f.port.route.Parked && len(f.port.route.Backends) > 0
	f.port.mu.Unlock()
	if changed {
		f.flush() // the route came while we put the datagram away
	}
}

// rerouted ends the sessions whose backend is gone, and sends what was parked.
func (f *udpFace) rerouted(r Route) {
	f.mu.Lock()
	var gone []*session
	for _, s := range f.sessions {
		if !slices.Contains(r.Backends, s.backend) {
			gone = append(gone, s)
		}
	}
	f.mu.Unlock()
	for _, s := range gone {
		f.end(s)
	}
	if !r.Parked && len(r.Backends) > 0 {
		f.flush()
	}
}

func (f *udpFace) flush() {
	f.mu.Lock()
	parked := f.parked
	f.parked, f.bytes = nil, 0
	f.mu.Unlock()
	f.port.mu.Lock()
	f.port.waiting = 0
	f.port.mu.Unlock()
	for _, d := range parked {
		f.dispatch(d.from, d.data)
	}
}

func (f *udpFace) close() {
	f.sock.Close()
	f.closeConns()
}

func (f *udpFace) closeConns() {
	f.mu.Lock()
	f.closed = true
	var all []*session
	for _, s := range f.sessions {
		all = append(all, s)
	}
	f.mu.Unlock()
	for _, s := range all {
		f.end(s)
	}
}

// drain has nothing to wait for: no datagram is known to want an answer.
func (f *udpFace) drain(context.Context, time.Duration) int { return 0 }

func (f *udpFace) conns() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.sessions)
}
