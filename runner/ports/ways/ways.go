// Package ways has published ports go by the kernel while nothing is in the way of it. Each
// port has a listener of the keeper's, which is bound always; what the kernel does not send
// to the container comes to it. So whatever is in doubt takes the rule away: while a
// container is replaced or comes back, connections wait at the listener as they always did,
// and a rule never outlives the engine.
package ways

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/keeper"
	"github.com/orlop/orlop/runner/network"
	"github.com/orlop/orlop/runner/network/ruleset"
	"github.com/orlop/orlop/runner/network/sockets"
	"github.com/orlop/orlop/runner/ports"
	"github.com/orlop/orlop/runner/ports/nat"
)

// Places know where an address of a container is; *network.Manager does.
type Places interface {
	Place(addr netip.Addr) (network.Place, bool)
}

// Rules send ports to containers; *nat.Table does.
type Rules interface {
	Add(r nat.Rule) error
	Remove(r nat.Rule) error
	Close() error
}

// Host tells what of the machine's rules is in the way; ruleset.Host does.
type Host interface {
	Read() (ruleset.Obstacles, error)
	// Watch calls changed when that may be otherwise, and once when it listens.
	Watch(ctx context.Context, changed func()) error
}

// Config is what there is to go by.
type Config struct {
	Listeners ports.Listeners
	Places    Places
	Rules     Rules
	// Forget has the machine know some connections no more; nat.Forget does.
	Forget func(...nat.Flows) error
	// Off says that the engine is set to leave all ports to the keeper.
	Off  bool
	Host Host
	// Listens says whether a program in a namespace accepts connections to an address, and
	// whether its answers leave by it; sockets.Listens does.
	Listens func(netns string, proto byte, at netip.AddrPort) (listens, leaves bool, err error)
	Log     *slog.Logger
}

// Ways are the listeners of published ports, and the kernel's rules beside them.
type Ways struct {
	Config
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	stir   chan struct{} // something of the host's rules may have changed

	mu        sync.Mutex // one change of the rules at a time
	ports     map[string]*port
	obstacles ruleset.Obstacles
	refusal   string              // what the kernel said last, of which the log tells once
	pause     time.Duration       // till it is asked again
	sent      map[netip.Addr]bool // addresses that the kernel has sent connections to
	gone      []nat.Flows         // what leads to who is not there any more
	released  chan struct{}       // there are some
}

// New begins to watch the host's rules; End ends it. All ports go to the keeper's
// listeners until then.
func New(ctx context.Context, cfg Config) *Ways {
	w := &Ways{Config: cfg, ports: map[string]*port{}, stir: make(chan struct{}, 1), sent: map[netip.Addr]bool{}, released: make(chan struct{}, 1), obstacles: inBoth(notWatched)}
	w.ctx, w.cancel = context.WithCancel(ctx)
	w.wg.Go(w.look)
	w.wg.Go(w.watch)
	w.wg.Go(w.forget)
	return w
}

// End takes all rules away. The listeners are left as they are.
func (w *Ways) End() error {
	w.cancel()
	w.mu.Lock()
	err := w.Rules.Close()
	for _, p := range w.ports {
		for _, l := range p.legs {
			l.rule = nil
		}
	}
	w.mu.Unlock()
	w.wg.Wait()
	return err
}

// Recheck looks again whether answers of the containers come back through the machine: the
// kernel sends nothing to those whose don't when it returns.
func (w *Ways) Recheck() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.ports {
		for _, l := range p.legs {
			if !l.to.IsValid() {
				continue
			}
			place, ok := w.Places.Place(l.to.Addr())
			if !ok {
				place.Why = "its container has lost its address"
			}
			l.place = place
		}
		w.choose(p)
	}
}

// find is the port of a key; nil if the keeper has none.
func (w *Ways) find(ctx context.Context, key string) (*port, error) {
	w.mu.Lock()
	p, ok := w.ports[key]
	w.mu.Unlock()
	if ok {
		return p, nil
	}
	all, err := w.Listeners.Ports(ctx) // an earlier engine's
	if err != nil {
		return nil, err
	}
	for _, state := range all {
		w.note(state.Port, state.Bound)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ports[key], nil
}

// note notes a listener.
func (w *Ways) note(spec keeper.Port, bound netip.AddrPort) {
	spec.Port = bound.Port()
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.ports[spec.Key]; !ok {
		w.ports[spec.Key] = &port{bound: spec, route: keeper.Route{Parked: true}, forget: func() {}, legs: legsOf(spec)}
	}
}

// Listen implements ports.Listeners.
func (w *Ways) Listen(ctx context.Context, spec keeper.Port) (netip.AddrPort, error) {
	bound, err := w.Listeners.Listen(ctx, spec)
	if err == nil {
		w.note(spec, bound)
	}
	return bound, err
}

// Ports implements ports.Listeners.
func (w *Ways) Ports(ctx context.Context) ([]keeper.PortState, error) { return w.Listeners.Ports(ctx) }

// Route implements ports.Listeners: the kernel sends nothing by the old route when it has
// returned, and something by the new one once that has proved good.
func (w *Ways) Route(ctx context.Context, key string, r keeper.Route) error {
	p, err := w.find(ctx, key)
	if err != nil || p == nil {
		return errors.Join(err, w.Listeners.Route(ctx, key, r))
	}
	p.routing.Lock()
	defer p.routing.Unlock()
	isSame := w.leave(p, r)
	if err := w.Listeners.Route(ctx, key, r); err != nil || isSame {
		return err
	}
	if p.bound.Proto == keeper.UDP {
		w.forgetNow()
	}
	w.enter(p, r)
	return nil
}

// leave ends the route that a port has, unless the next is the same.
func (w *Ways) leave(p *port, next keeper.Route) (isSame bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.version > 0 && p.route.Parked == next.Parked && slices.Equal(p.route.Backends, next.Backends) {
		return true
	}
	p.forget()
	if p.version == 0 && p.bound.Proto == keeper.UDP { // those of an earlier engine's rule
		w.lose(nat.Flows{Proto: unix.IPPROTO_UDP, Through: p.bound.Port, Bound: p.bound.Addr, Ours: w.isContainer})
		w.lose(nat.Flows{Is6: true, Proto: unix.IPPROTO_UDP, Through: p.bound.Port, Bound: p.bound.Addr, Ours: w.isContainer})
	}
	p.version++
	p.route = keeper.Route{Parked: true} // until the keeper knows
	w.choose(p)
	return false
}

// isContainer says that an address is a container's of this engine.
func (w *Ways) isContainer(addr netip.Addr) bool {
	_, ok := w.Places.Place(addr)
	return ok
}

// enter begins a route that the keeper has.
func (w *Ways) enter(p *port, r keeper.Route) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.closed {
		return
	}
	p.route = r
	p.route.Backends = slices.Clone(r.Backends)
	w.aim(p)
	w.choose(p)
	if r.Parked || fixed(p.bound) != "" || w.ctx.Err() != nil {
		return
	}
	var ready context.Context
	ready, p.forget = context.WithCancel(w.ctx)
	for _, l := range p.legs {
		if l.to.IsValid() {
			version, netns, proto, to := p.version, l.place.Netns, number(p.bound.Proto), l.to
			w.wg.Go(func() { w.await(ready, netns, proto, to, func(leaves bool) { w.ready(p, l, version, leaves) }) })
		}
	}
}

// Drain implements ports.Listeners: what the kernel has sent to earlier backends counts
// with what the keeper has.
func (w *Ways) Drain(ctx context.Context, key string, patience keeper.Patience) (int, error) {
	w.mu.Lock()
	var left []departure
	if p := w.ports[key]; p != nil {
		left, p.left = p.left, nil
	}
	w.mu.Unlock()
	within, cancel := context.WithTimeout(ctx, patience.Within)
	defer cancel()
	busy := make([]int, len(left))
	var all sync.WaitGroup
	for i, d := range left {
		all.Go(func() {
			n, err := sockets.Settle(within, d.place.Netns, []uint16{d.port}, sockets.Patience{Unseen: patience.Unseen, Near: d.place.Near})
			if err != nil { // as of a container that is gone
				w.Log.Debug("cannot see what is under way by a published port", "port", key, "error", err)
			}
			busy[i] = n
		})
	}
	total, err := w.Listeners.Drain(ctx, key, patience)
	all.Wait()
	for _, n := range busy {
		total += n
	}
	return total, err
}

// Close implements ports.Listeners.
func (w *Ways) Close(ctx context.Context, key string) error {
	w.mu.Lock()
	p := w.ports[key]
	w.mu.Unlock()
	if p != nil { // who is leading it elsewhere finishes that first
		p.routing.Lock()
		defer p.routing.Unlock()
	}
	w.mu.Lock()
	if p != nil && w.ports[key] == p {
		p.forget()
		p.closed = true
		p.version++
		for _, l := range p.legs {
			if l.rule != nil {
				w.withdraw(p, l)
			}
		}
		delete(w.ports, key)
		if len(w.ports) == 0 {
			if err := w.Rules.Close(); err != nil {
				w.Log.Warn("cannot take the table of published ports away", "error", err)
			}
		}
	}
	w.mu.Unlock()
	return w.Listeners.Close(ctx, key)
}

// Way is how a published port goes, for clients of one family.
type Way struct {
	keeper.Port // with an address of that family
	// ByKernel says that the kernel sends it to the container; Why says why not.
	ByKernel bool
	Why      string
}

// Ways lists how the published ports go, in the order of their keys, that of IPv4 first.
func (w *Ways) Ways() []Way {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := make([]Way, 0, len(w.ports))
	for _, key := range slices.Sorted(maps.Keys(w.ports)) {
		p := w.ports[key]
		for _, l := range p.legs {
			at := p.bound
			if !at.Addr.IsValid() {
				at.Addr = netip.IPv4Unspecified()
				if l.is6 {
					at.Addr = netip.IPv6Unspecified()
				}
			}
			list = append(list, Way{at, l.rule != nil, l.why})
		}
	}
	return list
}
