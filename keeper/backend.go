package keeper

import (
	"context"
	"net/netip"
	"time"
)

// findBackend finds a backend of a port that answers, waiting for one while the port is
// parked. When every backend of the moment refuses, so do we, unless they are
// so new that they may not listen yet: then they are asked again, less and
// less often. With the backend comes the version of the route that led to it.
// dial connects to the first of some addresses that answers, drop lets that go.
func findBackend[C any](p *port, dial func(context.Context, []netip.AddrPort) (C, netip.AddrPort, error), drop func(C)) (backend C, version uint64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), parkTimeout)
	defer cancel()
	pause := 2 * time.Millisecond
	var none C
	for {
		order, err := p.park(ctx)
		if err != nil {
			return none, 0, err
		}
		version := p.routed()
		backend, at, err := dial(ctx, order)
		if err == nil {
			if p.leadsTo(at) && p.isAt(version) {
				return backend, version, nil
			}
			// The route has changed while we dialled: whoever changed it counts
			// on nothing new coming by the old one.
			drop(backend)
			continue
		}
		// While we dialled, the port may have been parked or rerouted: the
		// failure then tells nothing about the route that counts now.
		now, changed, gone := p.backends()
		if gone != nil || sameSet(order, now) && !p.isFresh() {
			return none, 0, err
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
