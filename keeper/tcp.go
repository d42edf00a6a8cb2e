package keeper

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// tcpFace accepts, finds a backend, and splices until both ends are done.
type tcpFace struct {
	port     *port
	listener *net.TCPListener

	mu   sync.Mutex
	open map[*net.TCPConn]bool // clients with a backend
}

func openTCP(p *port) error {
	network, address := p.spec.network()
	// Multipath TCP, Go's default, is nothing that splice(2) or a reset can be
	// relied on with, and our backends are one hop away.
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(context.Background(), network, address)
	if err != nil {
		return err
	}
	f := &tcpFace{port: p, listener: l.(*net.TCPListener), open: map[*net.TCPConn]bool{}}
	p.bound = localAddr(l.Addr())
	p.face = f
	go f.accept()
	return nil
}

// accept ends when the listener is closed. Any other failure (no descriptor
// left, a client gone before it was accepted) is waited out.
func (f *tcpFace) accept() {
	for {
		client, err := f.listener.AcceptTCP()
		switch {
		case err == nil:
			go f.serve(client)
		case errors.Is(err, net.ErrClosed):
			return
		default:
			<-time.After(20 * time.Millisecond)
		}
	}
}

func (f *tcpFace) serve(client *net.TCPConn) {
	backend, err := f.connect()
	if err != nil {
		reset(client)
		return
	}
	f.track(client, true)
	defer f.track(client, false)
	splice(client, backend)
}

// connect finds a backend that answers, waiting for one while the port is
// parked. When every backend of the moment refuses, so do we, unless they are
// so new that they may not listen yet: then they are asked again, less and
// less often.
func (f *tcpFace) connect() (*net.TCPConn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), parkTimeout)
	defer cancel()
	pause := 2 * time.Millisecond
	for {
		order, err := f.port.park(ctx)
		if err != nil {
			return nil, err
		}
		backend, at, err := dialAny(ctx, order)
		if err == nil {
			if f.port.leadsTo(at) {
				return backend, nil
			}
			// The route has changed while we dialled: whoever changed it counts
			// on nothing new coming by the old one.
			reset(backend)
			continue
		}
		// While we dialled, the port may have been parked or rerouted: the
		// failure then tells nothing about the route that counts now.
		now, changed, gone := f.port.backends()
		if gone != nil || sameSet(order, now) && !f.port.isFresh() {
			return nil, err
		}
		if sameSet(order, now) {
			select {
			case <-changed:
			case <-time.After(pause):
			}
			pause = min(2*pause, 200*time.Millisecond)
		}
	}
}

func dialAny(ctx context.Context, order []netip.AddrPort) (*net.TCPConn, netip.AddrPort, error) {
	var last error
	dialer := net.Dialer{Timeout: dialTimeout}
	for _, addr := range order {
		c, err := dialer.DialContext(ctx, "tcp", addr.String())
		if err == nil {
			return c.(*net.TCPConn), addr, nil
		}
		last = err
	}
	return nil, netip.AddrPort{}, last
}

func sameSet(a, b []netip.AddrPort) bool {
	if len(a) != len(b) {
		return false
	}
	seen := map[netip.AddrPort]bool{}
	for _, x := range a {
		seen[x] = true
	}
	for _, x := range b {
		if !seen[x] {
			return false
		}
	}
	return true
}

// splice moves bytes both ways (in the kernel: io.Copy between two TCPConns is
// splice(2)). The end of one direction is passed on as a half-close; a failure
// of either ends both with a reset, as the failing side did.
func splice(a, b *net.TCPConn) {
	var wg sync.WaitGroup
	pump := func(dst, src *net.TCPConn) {
		if _, err := io.Copy(dst, src); err != nil {
			reset(a)
			reset(b)
			return
		}
		// A peer that is gone already needs no half-close.
		_ = dst.CloseWrite()
	}
	wg.Go(func() { pump(a, b) })
	pump(b, a)
	wg.Wait()
	a.Close()
	b.Close()
}

func reset(c *net.TCPConn) {
	// On a closed connection both fail, and nothing is left to do.
	_ = c.SetLinger(0)
	_ = c.Close()
}

func (f *tcpFace) track(c *net.TCPConn, open bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if open {
		f.open[c] = true
	} else {
		delete(f.open, c)
	}
}

func (f *tcpFace) close() { f.listener.Close() }

func (f *tcpFace) closeConns() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.open {
		reset(c)
	}
}

func (f *tcpFace) rerouted(Route) {}

func (f *tcpFace) conns() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.open)
}
