package keeper

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// tcpFace accepts connections, and finds backends for them.
type tcpFace struct {
	port     *port
	listener *net.TCPListener
	drains   atomic.Int32 // how many wait for requests to be answered
	// buffers are lent only while there is something to read: idle connections
	// cost none.
	buffers sync.Pool

	mu   sync.Mutex
	open map[*link]bool // guarded by mu
	wake chan struct{}  // guarded by mu; closed and replaced when one of the links has moved on
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
	f := &tcpFace{
		port: p, listener: l.(*net.TCPListener), open: map[*link]bool{}, wake: make(chan struct{}),
		buffers: sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }},
	}
	p.bound = localAddr(l.Addr())
	p.face = f
	go acceptAll(f.listener.AcceptTCP, f.serve)
	return nil
}

// acceptAll serves whoever comes, until the listener is closed. Any other failure (no
// descriptor left, a client gone before it was accepted) is waited out.
func acceptAll[Client any](accept func() (Client, error), serve func(Client)) {
	for {
		client, err := accept()
		switch {
		case err == nil:
			go serve(client)
		case errors.Is(err, net.ErrClosed):
			return
		default:
			<-time.After(20 * time.Millisecond)
		}
	}
}

func (f *tcpFace) serve(client *net.TCPConn) {
	l := &link{face: f, client: client}
	f.track(l, true)
	l.run()
	f.track(l, false)
}

func (f *tcpFace) connect() (*net.TCPConn, uint64, error) { return findBackend(f.port, dialAny, reset) }

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
	return len(a) == len(b) && !slices.ContainsFunc(b, func(x netip.AddrPort) bool { return !slices.Contains(a, x) })
}

func reset(c *net.TCPConn) {
	// On a closed connection both fail, and nothing is left to do.
	_ = c.SetLinger(0)
	_ = c.Close()
}

func (f *tcpFace) track(l *link, open bool) {
	f.mu.Lock()
	if open {
		f.open[l] = true
	} else {
		delete(f.open, l)
	}
	f.mu.Unlock()
	f.moved()
}

// links are the open connections of this moment.
func (f *tcpFace) links() []*link {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Keys(f.open))
}

// moved wakes who waits for requests to be answered.
func (f *tcpFace) moved() {
	if f.drains.Load() == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.wake)
	f.wake = make(chan struct{})
}

// drain takes the connections off the backends that the port led to before,
// each as soon as no request is under way on it. It says how many had one when
// ctx ended.
func (f *tcpFace) drain(ctx context.Context, unseen time.Duration) int {
	f.drains.Add(1)
	defer f.drains.Add(-1)
	for {
		f.mu.Lock()
		wake := f.wake
		f.mu.Unlock()
		busy := 0
		next := time.Hour
		for _, l := range f.links() {
			isBusy, again := l.yield(unseen)
			if isBusy {
				busy++
			}
			if again > 0 {
				next = min(next, again)
			}
		}
		if busy == 0 {
			return 0
		}
		select {
		case <-wake:
		case <-time.After(next):
		case <-ctx.Done():
			return busy
		}
	}
}

func (f *tcpFace) close() {
	f.listener.Close()
	f.dismiss()
}

func (f *tcpFace) closeConns() {
	for _, l := range f.links() {
		l.reset()
	}
}

// rerouted lets the connections end that wait for a backend when there is to
// be none.
func (f *tcpFace) rerouted(r Route) {
	if !r.Parked && len(r.Backends) == 0 {
		f.dismiss()
	}
}

func (f *tcpFace) dismiss() {
	for _, l := range f.links() {
		l.dismiss()
	}
}

// conns counts the connections that have a backend.
func (f *tcpFace) conns() int {
	n := 0
	for _, l := range f.links() {
		if l.isConnected() {
			n++
		}
	}
	return n
}
