package ways

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/keeper"
	"github.com/orlop/orlop/runner/network"
	"github.com/orlop/orlop/runner/ports/nat"
)

// port is a published port. All but routing and bound is guarded by Ways.mu.
type port struct {
	routing sync.Mutex // held while it is led elsewhere

	bound   keeper.Port // with the port that it has
	route   keeper.Route
	version int // counts the changes of the route
	closed  bool
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

// choose gives a port its rules, or takes them away. The caller holds mu.
func (w *Ways) choose(p *port) {
	for _, l := range p.legs {
		if w.ctx.Err() != nil {
			return
		}
		l.why = w.obstacle(p, l)
		r := nat.Rule{Addr: p.bound.Addr.Unmap(), Port: p.bound.Port, Proto: number(p.bound.Proto), To: l.to, Apart: l.place.Links}
		if l.rule != nil && (l.why != "" || !l.rule.Is(r)) && !w.withdraw(p, l) {
			return
		}
		if l.rule != nil || l.why != "" {
			continue
		}
		if err := w.Rules.Add(r); err != nil {
			w.lost(err)
			return
		}
		l.rule = &r
		w.refusal, w.pause = "", 0
		w.sent[l.to.Addr()] = true
	}
}

// obstacle is why a leg of a port is not to have a rule. The caller holds mu.
func (w *Ways) obstacle(p *port, l *leg) string {
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
	case l.is6:
		return w.obstacles.IPv6
	}
	return w.obstacles.IPv4
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

// withdraw takes the rule of a leg away; if it says no, all rules are gone. The caller holds mu.
func (w *Ways) withdraw(p *port, l *leg) bool {
	err := w.Rules.Remove(*l.rule)
	w.depart(p, l)
	if err != nil {
		w.lost(err)
	}
	return err == nil
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
