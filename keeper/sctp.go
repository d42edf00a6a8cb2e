package keeper

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/orlop/orlop/keeper/sctp"
)

// sctpFace accepts associations, and passes the messages of each on to a backend.
type sctpFace struct {
	port     *port
	listener *sctp.Listener

	mu   sync.Mutex
	open map[*sctp.Conn]bool // guarded by mu; clients, and the backends of those that have one
	led  int                 // guarded by mu; how many have one
}

func openSCTP(p *port) error {
	l, err := sctp.Listen(p.spec.Addr, p.spec.Port)
	if err != nil {
		return err
	}
	f := &sctpFace{port: p, listener: l, open: map[*sctp.Conn]bool{}}
	p.bound, p.face = l.Bound(), f
	go acceptAll(f.listener.Accept, f.serve)
	return nil
}

// serve passes messages between a client and the backend that the port leads to, until
// either ends. An association stays where it is whatever the route is later.
func (f *sctpFace) serve(client *sctp.Conn) {
	f.track(client, 0)
	defer f.forget(client, 0)
	backend, _, err := findBackend(f.port, dialSCTP, (*sctp.Conn).Abort)
	if err != nil {
		client.Abort()
		return
	}
	f.track(backend, 1)
	defer f.forget(backend, 1)
	var wg sync.WaitGroup
	wg.Go(func() { sctp.Pass(backend, client) })
	wg.Go(func() { sctp.Pass(client, backend) })
	wg.Wait()
}

func (f *sctpFace) track(c *sctp.Conn, led int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open[c] = true
	f.led += led
}

func (f *sctpFace) forget(c *sctp.Conn, led int) {
	f.mu.Lock()
	delete(f.open, c)
	f.led -= led
	f.mu.Unlock()
	_ = c.Close()
}

func dialSCTP(_ context.Context, order []netip.AddrPort) (*sctp.Conn, netip.AddrPort, error) {
	return sctp.DialAny(order, dialTimeout)
}

func (f *sctpFace) close() { _ = f.listener.Close() }

func (f *sctpFace) closeConns() {
	f.mu.Lock()
	all := slices.Collect(maps.Keys(f.open))
	f.mu.Unlock()
	for _, c := range all {
		c.Abort()
	}
}

// rerouted is nothing to do: who waits for a backend hears of it.
func (f *sctpFace) rerouted(Route) {}

// drain waits for nobody: whether something is under way can't be known.
func (f *sctpFace) drain(context.Context, time.Duration) int { return 0 }

func (f *sctpFace) conns() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.led
}
