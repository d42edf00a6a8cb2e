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

// port is a published port. What is not Way's is guarded by Ways.mu.
type port struct {
	routing sync.Mutex // held while it is led elsewhere

	bound   keeper.Port // with the port that it has
	route   keeper.Route
	version int // counts the changes of the route
	forget  context.CancelFunc
	legs    []*leg      // of IPv4, of IPv6, or both
	left    []departure // where the kernel sent connections before, since the last drain
}

// leg is a port as clients of one family see it.
type leg struct {
	is6     bool
	to      netip.AddrPort // of that family; not valid while it leads nowhere
	place   network.Place
	isReady bool      // who is there accepts connections
	astray  bool      // its answers don't come back
	rule    *nat.Rule // that it has now
	why     string    // there is none
	here    string    // there is none for the machine's own programs
}

// legsOf are those of a listener.
func legsOf(p keeper.Port) []*leg {
	if at := p.Addr.Unmap(); at.IsValid() {
		return []*leg{{is6: at.Is6()}}
	}
	return []*leg{{}, {is6: true}}
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
const settle = 500 * time.Millisecond

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
		w.mu.Lock()
		w.askAgain()
		w.mu.Unlock()
		return inBoth(err.Error())
	}
	return o
}

// inBoth is one obstacle in the way of both families.
func inBoth(why string) ruleset.Obstacles {
	o := ruleset.Obstacle{Any: why}
	return ruleset.Obstacles{IPv4: o, IPv6: o}
}

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

// Released is told that nobody has an address any more.
func (w *Ways) Released(addr netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.sent[addr] {
		return
	}
	delete(w.sent, addr)
	w.lose(nat.Flows{Is6: addr.Is6(), To: netip.AddrPortFrom(addr, 0)})
}

// lose has connections be forgotten soon. The caller holds mu.
func (w *Ways) lose(f nat.Flows) {
	w.gone = append(w.gone, f)
	select {
	case w.released <- struct{}{}:
	default:
	}
}

// together is how long addresses are collected before connections to them are forgotten,
// for which the kernel looks at all that it knows.
const together = 50 * time.Millisecond

// forget has connections be forgotten that lead to who is not there any more.
func (w *Ways) forget() {
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-w.released:
		}
		select {
		case <-w.ctx.Done():
		case <-time.After(together):
		}
		w.forgetNow()
	}
}

func (w *Ways) forgetNow() {
	w.mu.Lock()
	gone := w.gone
	w.gone = nil
	w.mu.Unlock()
	if len(gone) == 0 {
		return
	}
	if err := w.Forget(gone...); err != nil {
		w.Log.Warn("connections may lead to containers that are gone", "error", err)
	}
}

// choose gives a port its rules, or takes them away. The caller holds mu.
func (w *Ways) choose(p *port) {
	for _, l := range p.legs {
		if w.ctx.Err() != nil {
			return
		}
		l.why, l.here = w.obstacle(p, l)
		switch {
		case l.why != "":
			w.withdraw(p, l)
		default:
			r := nat.Rule{Addr: p.bound.Addr.Unmap(), Port: p.bound.Port, Proto: number(p.bound.Proto), To: l.to, Apart: l.place.Links, Here: l.here == ""}
			if l.rule != nil && l.rule.Is(r) {
				continue
			}
			w.withdraw(p, l)
			if err := w.Rules.Add(r); err != nil {
				w.lost(err)
				return
			}
			l.rule = &r
			w.refusal, w.pause = "", 0
			w.sent[l.to.Addr()] = true
		}
	}
}

// obstacle is why a leg of a port is not to have a rule, or not for the machine's own
// programs. The caller holds mu.
func (w *Ways) obstacle(p *port, l *leg) (why, here string) {
	if why := w.ownObstacle(p, l); why != "" {
		return why, ""
	}
	of := w.obstacles.IPv4
	if l.is6 {
		of = w.obstacles.IPv6
	}
	return of.Any, of.Here
}

// ownObstacle is why the port's own state keeps a leg from having a rule. The caller holds mu.
func (w *Ways) ownObstacle(p *port, l *leg) string {
	if why := fixed(p.bound); why != "" {
		return why
	}
	switch {
	case p.route.Parked:
		return "connections wait: its container is not ready"
	case len(p.route.Backends) != 1:
		return "it leads to no container"
	case !l.to.IsValid() && l.is6:
		return "its container has no IPv6"
	case !l.to.IsValid():
		return "its container has no IPv4"
	case l.place.Why != "":
		return l.place.Why
	case !l.isReady:
		return "nothing listens in the container yet"
	case l.astray:
		return "its answers to clients elsewhere leave by another way"
	}
	return ""
}

// fixed is why a port never goes by the kernel, whatever it leads to.
func fixed(p keeper.Port) string {
	switch {
	case p.Proto != keeper.TCP && p.Proto != keeper.UDP:
		return "it is neither TCP nor UDP"
	case p.Addr.Unmap().IsLoopback():
		return "it is bound to the loopback"
	case p.Addr.IsLinkLocalUnicast():
		return "it is bound to an address of a link"
	}
	return ""
}

// number is the kernel's of a protocol.
func number(proto string) byte {
	if proto == keeper.UDP {
		return unix.IPPROTO_UDP
	}
	return unix.IPPROTO_TCP
}

// withdraw takes a rule away. The caller holds mu.
func (w *Ways) withdraw(p *port, l *leg) {
	if l.rule == nil {
		return
	}
	err := w.Rules.Remove(*l.rule)
	w.depart(p, l)
	if err != nil {
		w.lost(err)
	}
}

// depart notes that connections which the kernel has sent to a container may be open. Flows
// of datagrams have no end: their clients come to the keeper with the next. The caller holds mu.
func (w *Ways) depart(p *port, l *leg) {
	if p.bound.Proto == keeper.UDP {
		w.lose(nat.Flows{Is6: l.is6, Proto: unix.IPPROTO_UDP, To: l.rule.To, Through: p.bound.Port})
		l.rule = nil
		return
	}
	const most = 8 // of which the last are of interest
	p.left = append(p.left, departure{l.place, l.rule.To.Port()})
	p.left = p.left[max(0, len(p.left)-most):]
	l.rule = nil
}

// The kernel is asked once more after it has refused, ever later.
const tryAgain, mostTries = 10 * time.Second, 10 * time.Minute

// askAgain has the host's rules looked at again, and all ports be given their rules. The
// caller holds mu.
func (w *Ways) askAgain() {
	w.pause = min(max(2*w.pause, tryAgain), mostTries)
	time.AfterFunc(w.pause, w.Stir)
}

// lost notes that all rules are gone. The caller holds mu.
func (w *Ways) lost(err error) {
	why := "the kernel refused: " + err.Error()
	if why != w.refusal {
		w.Log.Warn("published ports are not sent to containers by the kernel", "error", err)
	}
	w.refusal, w.obstacles = why, inBoth(why)
	w.askAgain()
	for _, p := range w.ports {
		for _, l := range p.legs {
			if l.rule != nil {
				w.depart(p, l)
			}
			if l.why == "" {
				l.why = why
			}
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
	w.mu.Lock()
	isSame := p.version > 0 && p.route.Parked == r.Parked && slices.Equal(p.route.Backends, r.Backends)
	if !isSame {
		p.forget()
		if p.version == 0 && p.bound.Proto == keeper.UDP { // those of an earlier engine's rule
			w.lose(nat.Flows{Proto: unix.IPPROTO_UDP, Through: p.bound.Port})
			w.lose(nat.Flows{Is6: true, Proto: unix.IPPROTO_UDP, Through: p.bound.Port})
		}
		p.version++
		p.route = keeper.Route{Parked: true} // until the keeper knows
		w.choose(p)
	}
	w.mu.Unlock()
	if err := w.Listeners.Route(ctx, key, r); err != nil || isSame {
		return err
	}
	if p.bound.Proto == keeper.UDP {
		w.forgetNow()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	p.route = r
	p.route.Backends = slices.Clone(r.Backends)
	w.aim(p)
	w.choose(p)
	if r.Parked || fixed(p.bound) != "" || w.ctx.Err() != nil {
		return nil
	}
	var ready context.Context
	ready, p.forget = context.WithCancel(w.ctx)
	for _, l := range p.legs {
		if l.to.IsValid() {
			version, netns, proto, to := p.version, l.place.Netns, number(p.bound.Proto), l.to
			w.wg.Go(func() { w.await(ready, netns, proto, to, func(leaves bool) { w.ready(p, l, version, leaves) }) })
		}
	}
	return nil
}

// aim finds where the legs of a port lead. The caller holds mu.
func (w *Ways) aim(p *port) {
	for _, l := range p.legs {
		l.to, l.place, l.isReady, l.astray = netip.AddrPort{}, network.Place{}, false, false
		if len(p.route.Backends) != 1 {
			continue
		}
		to := p.route.Backends[0]
		place, ok := w.Places.Place(to.Addr())
		if ok && to.Addr().Is6() != l.is6 {
			to = netip.AddrPortFrom(place.Other, to.Port())
			place, ok = w.Places.Place(to.Addr())
		}
		if ok && to.IsValid() {
			l.to, l.place = to, place
		}
	}
}

// ready notes that who is at the end of a leg accepts connections, and whether its answers
// leave by the address that it was asked at.
func (w *Ways) ready(p *port, l *leg, version int, leaves bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.version != version {
		return
	}
	l.isReady, l.astray = true, !leaves
	w.choose(p)
}

// mostPause is how often at least it is looked whether a program listens at last.
const mostPause = 5 * time.Second

// await waits until a program in a namespace accepts connections of a protocol to an
// address, until ctx ends.
func (w *Ways) await(ctx context.Context, netns string, proto byte, to netip.AddrPort, ready func(leaves bool)) {
	// The kernel has no event for a socket that begins to listen.
	for pause := 2 * time.Millisecond; ; pause = min(2*pause, mostPause) {
		listens, leaves, err := w.Listens(netns, proto, to)
		if err == nil && listens {
			ready(leaves)
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
		for _, l := range p.legs {
			w.withdraw(p, l)
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
	// Here says why it does not so for the machine's own programs.
	ByKernel  bool
	Why, Here string
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
			list = append(list, Way{at, l.rule != nil, l.why, l.here})
		}
	}
	return list
}
