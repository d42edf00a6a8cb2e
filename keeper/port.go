package keeper

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	// parkTimeout bounds the wait of a parked TCP connection; then it is reset.
	parkTimeout = 30 * time.Second
	// maxParked bounds the parked connections of one port.
	maxParked = 1024
	// dialTimeout bounds the connection to one backend, which is one hop away.
	dialTimeout = 3 * time.Second
	// freshRoute is how long after a change of the route a refusal counts as
	// "not listening yet": a program that was just started needs a moment.
	freshRoute = 5 * time.Second
)

// port is one published port. Its route and counts are guarded by mu; the
// traffic itself is in tcp.go, udp.go and sctp.go.
type port struct {
	spec  Port
	bound netip.AddrPort
	face  face

	mu      sync.Mutex
	route   Route
	version uint64    // counts the changes of the route
	since   time.Time // when the route was last set
	turn    int
	changed chan struct{} // closed and replaced when the route changes
	closed  bool
	waiting int
}

// face is the listening side of a port: a listener of TCP or SCTP, or a UDP socket.
type face interface {
	// close stops listening; what is established goes on (TCP, SCTP) or ends (UDP).
	close()
	// closeConns ends what is established.
	closeConns()
	// rerouted is called after the route changed.
	rerouted(Route)
	// drain waits until nothing is under way by earlier routes, or ctx ends; it
	// says how much still is. See Patience.Unseen.
	drain(ctx context.Context, unseen time.Duration) int
	conns() int
}

func openPort(spec Port) (*port, error) {
	p := &port{spec: spec, changed: make(chan struct{}), route: Route{Parked: true}}
	var err error
	switch spec.Proto {
	case TCP:
		err = openTCP(p)
	case UDP:
		err = openUDP(p)
	case SCTP:
		err = openSCTP(p)
	default:
		err = fmt.Errorf("no protocol %q: use tcp, udp or sctp", spec.Proto)
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// network turns the address of a port into what package net calls it: every
// address of both families, of one family, or one address.
func (p Port) network() (network, address string) {
	switch {
	case !p.Addr.IsValid():
		return p.Proto, fmt.Sprintf(":%d", p.Port)
	case p.Addr.Unmap().Is4():
		return p.Proto + "4", netip.AddrPortFrom(p.Addr.Unmap(), p.Port).String()
	}
	return p.Proto + "6", netip.AddrPortFrom(p.Addr, p.Port).String()
}

func (p *port) setRoute(r Route) {
	r.Backends = slices.Clone(r.Backends)
	p.mu.Lock()
	if r.Parked != p.route.Parked || !slices.Equal(r.Backends, p.route.Backends) {
		p.version++
	}
	p.route, p.since = r, time.Now()
	p.wake()
	p.mu.Unlock()
	p.face.rerouted(r)
}

// wake tells everyone who waits to look again. The caller holds p.mu.
func (p *port) wake() {
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *port) close() {
	p.mu.Lock()
	p.closed = true
	p.wake()
	p.mu.Unlock()
	p.face.close()
}

func (p *port) closeConns() { p.face.closeConns() }

func (p *port) state() PortState {
	conns := p.face.conns()
	p.mu.Lock()
	defer p.mu.Unlock()
	route := p.route
	route.Backends = slices.Clone(route.Backends)
	return PortState{Port: p.spec, Bound: p.bound, Route: route, Conns: conns, Waiting: p.waiting}
}

var (
	errClosed  = errors.New("the port is no longer published")
	errCrowded = errors.New("too many connections wait")
	errNobody  = errors.New("nothing serves the port")
)

// backends returns the backends in the order in which to try them, none when
// the port is parked, and a channel that is closed when that changes.
func (p *port) backends() ([]netip.AddrPort, <-chan struct{}, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, nil, errClosed
	}
	n := len(p.route.Backends)
	if p.route.Parked {
		return nil, p.changed, nil
	}
	if n == 0 {
		return nil, nil, errNobody
	}
	start := p.turn % n
	p.turn++
	order := slices.Concat(p.route.Backends[start:], p.route.Backends[:start])
	return order, p.changed, nil
}

// leadsTo says whether the route of this moment leads to a backend.
func (p *port) leadsTo(backend netip.AddrPort) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.closed && !p.route.Parked && slices.Contains(p.route.Backends, backend)
}

// routed is the version of the route of this moment.
func (p *port) routed() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.version
}

// isAt says whether the route is still the one of a version. Another one leads
// elsewhere even where the address is the same: it may be a successor's.
func (p *port) isAt(version uint64) bool { return p.routed() == version }

func (p *port) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// isFresh says that the route is so new that its backends may not listen yet.
func (p *port) isFresh() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Since(p.since) < freshRoute
}

// park waits for a backend.
func (p *port) park(ctx context.Context) ([]netip.AddrPort, error) {
	order, changed, err := p.backends()
	if err != nil || order != nil {
		return order, err
	}
	p.mu.Lock()
	crowded := p.waiting >= maxParked
	if !crowded {
		p.waiting++
	}
	p.mu.Unlock()
	if crowded {
		return nil, errCrowded
	}
	defer func() {
		p.mu.Lock()
		p.waiting--
		p.mu.Unlock()
	}()
	for order == nil && err == nil {
		select {
		case <-changed:
			order, changed, err = p.backends()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return order, err
}

func asErrno(err error) (syscall.Errno, bool) {
	return errors.AsType[syscall.Errno](err)
}

// reason turns the error of a listen call into words about the port alone.
func reason(err error) string {
	errno, ok := asErrno(err)
	switch {
	case !ok:
		return err.Error()
	case errno == syscall.EADDRNOTAVAIL:
		return "no interface of this machine has that address"
	case errno == syscall.EADDRINUSE:
		return "the port is in use"
	case errno == syscall.EACCES || errno == syscall.EPERM:
		return "permission denied"
	}
	return errno.Error()
}

func localAddr(a net.Addr) netip.AddrPort {
	var ap netip.AddrPort
	switch a := a.(type) {
	case *net.TCPAddr:
		ap = a.AddrPort()
	case *net.UDPAddr:
		ap = a.AddrPort()
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
