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
	// Off says that the engine is set to leave all ports to the keeper.
	Off  bool
	Host Host
	Log  *slog.Logger
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
}

// port is a published port. What is not Way's is guarded by Ways.mu.
type port struct {
	routing sync.Mutex // held while it is led elsewhere

	bound   keeper.Port // with the port that it has
	route   keeper.Route
	version int // counts the changes of the route
	forget  context.CancelFunc

	place   network.Place // of the backend
	isReady bool          // its backend accepts connections, and its answers come back
	rule    *nat.Rule     // that it has now
	why     string        // there is none
	left    []departure   // where the kernel sent connections before, since the last drain
}

// departure is a backend that the kernel sends no more connections to.
type departure struct {
	place network.Place
	port  uint16
}

// notWatched is why nothing goes by the kernel before it is known what its rules are.
const notWatched = "the host's firewall was not looked at yet"

// New begins to watch the host's rules; End ends it. All ports go to the keeper's
// listeners until then.
func New(ctx context.Context, cfg Config) *Ways {
	w := &Ways{Config: cfg, ports: map[string]*port{}, stir: make(chan struct{}, 1), obstacles: inBoth(notWatched)}
	w.ctx, w.cancel = context.WithCancel(ctx)
	w.wg.Go(w.look)
	w.wg.Go(w.watch)
	return w
}

// End takes all rules away. The listeners are left as they are.
func (w *Ways) End() error {
	w.cancel()
	w.mu.Lock()
	err := w.Rules.Close()
	for _, p := range w.ports {
		p.rule = nil
	}
	w.mu.Unlock()
	w.wg.Wait()
	return err
}

// watch hears of changes of the host's rules.
func (w *Ways) watch() {
	for w.ctx.Err() == nil {
		err := w.Host.Watch(w.ctx, w.Stir)
		if err == nil {
			continue
		}
		w.Log.Warn("published ports are not sent to containers by the kernel", "error", err)
		<-w.ctx.Done()
	}
}

// Stir has the host's rules looked at again.
func (w *Ways) Stir() {
	select {
	case w.stir <- struct{}{}:
	default: // they will be anyway
	}
}

// settle is how long changes of rules are waited for that let no port through as it is: a
// reload of a firewall is many. Those that may stop some are looked at at once.
const settle = 100 * time.Millisecond

// look looks at the host's rules whenever they may have changed.
func (w *Ways) look() {
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-w.stir:
		}
		w.decide(w.read())
		if !w.isClear() {
			select {
			case <-w.ctx.Done():
				return
			case <-time.After(settle):
			}
		}
	}
}

func (w *Ways) read() ruleset.Obstacles {
	if w.Off {
		return inBoth("the engine's settings say so (published_ports: userspace)")
	}
	o, err := w.Host.Read()
	if err != nil {
		time.AfterFunc(tryAgain, w.Stir)
		return inBoth(err.Error())
	}
	return o
}

// inBoth is one obstacle in the way of both families.
func inBoth(why string) ruleset.Obstacles { return ruleset.Obstacles{IPv4: why, IPv6: why} }

func (w *Ways) isClear() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.obstacles == ruleset.Obstacles{}
}

// decide has each port go the way that it may go with some obstacles.
func (w *Ways) decide(o ruleset.Obstacles) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.obstacles = o
	for _, p := range w.ports {
		w.choose(p)
	}
}

// Recheck looks again whether answers of the containers come back through the machine: the
// kernel sends nothing to those whose don't when it returns.
func (w *Ways) Recheck() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.ports {
		if p.rule == nil {
			continue
		}
		if place, ok := w.Places.Place(p.rule.To.Addr()); ok && place.Why != "" {
			p.place.Why = place.Why
			w.choose(p)
		}
	}
}

// choose gives a port its rule, or takes it away. The caller holds mu.
func (w *Ways) choose(p *port) {
	if w.ctx.Err() != nil {
		return
	}
	wants, why := w.wanted(p)
	p.why = why
	switch {
	case why != "":
		w.withdraw(p)
	case p.rule == nil:
		if err := w.Rules.Add(wants); err != nil {
			w.lost(err)
			return
		}
		p.rule = &wants
	}
}

// wanted is the rule that a port is to have, or why none. The caller holds mu.
func (w *Ways) wanted(p *port) (r nat.Rule, why string) {
	if why := fixed(p.bound); why != "" {
		return r, why
	}
	switch {
	case p.route.Parked:
		return r, "connections wait: its container is not ready"
	case len(p.route.Backends) != 1:
		return r, "it leads to no container"
	case p.place.Why != "":
		return r, p.place.Why
	case !p.isReady:
		return r, "nothing listens in the container yet"
	}
	to, at := p.route.Backends[0], p.bound.Addr.Unmap()
	if at.IsValid() && at.Is4() != to.Addr().Is4() {
		return r, "it is bound to an address of a family of which the container has none"
	}
	why = w.obstacles.IPv4
	if to.Addr().Is6() {
		why = w.obstacles.IPv6
	}
	return nat.Rule{Addr: at, Port: p.bound.Port, Proto: unix.IPPROTO_TCP, To: to, Apart: p.place.Links}, why
}

// fixed is why a port never goes by the kernel, whatever it leads to.
func fixed(p keeper.Port) string {
	switch {
	case p.Proto != keeper.TCP:
		return "it is not TCP"
	case p.Addr.IsLoopback():
		return "it is bound to the loopback"
	case p.Addr.IsLinkLocalUnicast():
		return "it is bound to an address of a link"
	}
	return ""
}

// withdraw takes a port's rule away. The caller holds mu.
func (w *Ways) withdraw(p *port) {
	if p.rule == nil {
		return
	}
	if err := w.Rules.Remove(*p.rule); err != nil {
		w.lost(err)
	}
	if p.rule != nil {
		w.depart(p)
	}
}

// depart notes that connections which the kernel has sent to a container may be open. The
// caller holds mu.
func (w *Ways) depart(p *port) {
	const most = 8 // of which the last are of interest
	p.left = append(p.left, departure{p.place, p.rule.To.Port()})
	p.left = p.left[max(0, len(p.left)-most):]
	p.rule = nil
}

// tryAgain is when the kernel is asked once more after it has refused.
const tryAgain = 10 * time.Second

// lost notes that all rules are gone. The caller holds mu.
func (w *Ways) lost(err error) {
	w.Log.Warn("published ports are not sent to containers by the kernel", "error", err)
	why := "the kernel refused: " + err.Error()
	w.obstacles = inBoth(why)
	time.AfterFunc(tryAgain, w.Stir)
	for _, p := range w.ports {
		if p.rule != nil {
			w.depart(p)
		}
		if p.why == "" {
			p.why = why
		}
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
		w.ports[spec.Key] = &port{bound: spec, route: keeper.Route{Parked: true}, forget: func() {}}
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
	w.mu.Lock()
	isSame := p.version > 0 && p.route.Parked == r.Parked && slices.Equal(p.route.Backends, r.Backends)
	if !isSame {
		p.forget()
		p.version++
		p.isReady, p.route = false, keeper.Route{Parked: true} // until the keeper knows
		w.choose(p)
	}
	version := p.version
	w.mu.Unlock()
	if err := w.Listeners.Route(ctx, key, r); err != nil || isSame {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	p.route = r
	p.route.Backends = slices.Clone(r.Backends)
	p.place = network.Place{}
	if len(r.Backends) == 1 {
		p.place, _ = w.Places.Place(r.Backends[0].Addr())
	}
	w.choose(p)
	if !r.Parked && p.place.Netns != "" && p.place.Why == "" && fixed(p.bound) == "" && w.ctx.Err() == nil {
		var ready context.Context
		ready, p.forget = context.WithCancel(w.ctx)
		w.wg.Go(func() { w.await(ready, p, version) })
	}
	return nil
}

// mostPause is how often at least it is looked whether a program listens at last.
const mostPause = time.Second

// await waits until a port's container accepts connections.
func (w *Ways) await(ctx context.Context, p *port, version int) {
	w.mu.Lock()
	place, to := p.place, p.route.Backends[0]
	w.mu.Unlock()
	// The kernel has no event for a socket that begins to listen.
	for pause := 2 * time.Millisecond; ; pause = min(2*pause, mostPause) {
		listens, leaves, err := sockets.Listens(place.Netns, to)
		if err == nil && listens {
			w.mu.Lock()
			defer w.mu.Unlock()
			if p.version != version {
				return
			}
			p.isReady = true
			if !leaves {
				p.place.Why = "its answers to clients elsewhere leave by another way"
			}
			w.choose(p)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
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
	if p := w.ports[key]; p != nil {
		p.forget()
		p.version++
		w.withdraw(p)
		delete(w.ports, key)
	}
	w.mu.Unlock()
	return w.Listeners.Close(ctx, key)
}

// Way is how a published port goes.
type Way struct {
	keeper.Port
	// ByKernel says that the kernel sends it to the container; Why says why not.
	ByKernel bool
	Why      string
}

// Ways lists how the published ports go.
func (w *Ways) Ways() []Way {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := make([]Way, 0, len(w.ports))
	for _, p := range w.ports {
		list = append(list, Way{p.bound, p.rule != nil, p.why})
	}
	return list
}
