package ports

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/orlop/orlop/keeper"
	"github.com/orlop/orlop/keeper/sctp"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// book has listeners in memory, and notes what becomes of them.
type book struct {
	mu     sync.Mutex
	held   map[string]keeper.Port
	routes map[string]keeper.Route
	busy   map[string]int // requests under way that no patience ends
	taken  map[uint16]bool
	fails  error // of routes
	next   uint16
}

func newBook() *book {
	return &book{held: map[string]keeper.Port{}, routes: map[string]keeper.Route{}, busy: map[string]int{}, taken: map[uint16]bool{}, next: 32768}
}

func (b *book) Listen(_ context.Context, p keeper.Port) (netip.AddrPort, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.Port == 0 {
		b.next++
		p.Port = b.next
	}
	if b.taken[p.Port] {
		return netip.AddrPort{}, &keeper.PortError{Port: p, Errno: 98, Process: "nginx", PID: 812}
	}
	b.held[p.Key] = p
	return netip.AddrPortFrom(netip.IPv4Unspecified(), p.Port), nil
}

func (b *book) Route(_ context.Context, key string, r keeper.Route) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.routes[key] = r
	return b.fails
}

func (b *book) Drain(_ context.Context, key string, _ keeper.Patience) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.busy[key], nil
}

func (b *book) Close(_ context.Context, key string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.held, key)
	return nil
}

func (b *book) Ports(context.Context) (list []keeper.PortState, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.held {
		list = append(list, keeper.PortState{Port: p, Bound: netip.AddrPortFrom(netip.IPv4Unspecified(), p.Port)})
	}
	return list, nil
}

func (b *book) keys() []string {
	var keys []string
	for key := range b.held {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// kept are the ports of one instance.
type kept map[string]int

func (k kept) Port(project, key string) (int, bool) { return k[key], project == "shop-a" }
func (k kept) KeepPort(_, key string, port int)     { k[key] = port }

func web(ports ...spec.Port) Owner {
	return Owner{Project: "shop", Service: "web", Number: 1, Ports: ports}
}

func told(list []planner.Binding) string {
	var out []string
	for _, b := range list {
		out = append(out, fmt.Sprintf("%s:%d->%d/%s", b.HostIP, b.HostPort, b.Target, b.Protocol))
	}
	return strings.Join(out, " ")
}

func TestWhatIsPublished(t *testing.T) {
	b := newBook()
	table := New(b, nobody{})
	got, err := table.Publish(t.Context(), web(
		spec.Port{Target: 80, Published: "8080"}, spec.Port{Target: 53, Published: "53", Protocol: "udp", HostIP: "127.0.0.1"},
		spec.Port{Target: 443, Published: "8443", HostIP: "[::1]"}, spec.Port{Target: 9, Published: "9", Protocol: spec.ProtocolSCTP}), nil)
	want := "0.0.0.0:8080->80/tcp :::8080->80/tcp 127.0.0.1:53->53/udp ::1:8443->443/tcp 0.0.0.0:9->9/sctp :::9->9/sctp"
	if err != nil || told(got) != want {
		t.Errorf("got %s, %v; want %s", told(got), err, want)
	}
	if n := len(b.held); n != 4 {
		t.Errorf("%d listeners are bound", n)
	}
	// A successor keeps what it shares, and the rest is closed.
	got, err = table.Publish(t.Context(), web(spec.Port{Target: 80, Published: "8080"}), nil)
	if err != nil || told(got) != "0.0.0.0:8080->80/tcp :::8080->80/tcp" || !slices.Equal(b.keys(), []string{"shop/web/1/tcp//8080/80"}) {
		t.Errorf("of the successor are published %s, held %v, %v", told(got), b.keys(), err)
	}
	owner := web()
	if err := table.Unpublish(t.Context(), owner); err != nil || len(b.held) != 0 {
		t.Errorf("held are %v, %v", b.keys(), err)
	}
	if _, err := table.Publish(t.Context(), web(spec.Port{Target: 80, HostIP: "nonsense"}), nil); err == nil || err.Error() != `services.web.ports: "nonsense" is not an IP address` {
		t.Errorf("got %v", err)
	}
}

// A port that anybody may have is the same after a restart, and one of a range
// goes on to the next that is free.
func TestWhichPortIsTaken(t *testing.T) {
	b := newBook()
	table := New(b, nobody{})
	owner := web(spec.Port{Target: 80})
	owner.Published = []planner.Binding{{Target: 80, Protocol: "tcp", HostPort: 4711}}
	if got, err := table.Publish(t.Context(), owner, nil); err != nil || got[0].HostPort != 4711 {
		t.Errorf("it has %s, %v", told(got), err)
	}
	b.taken[9000] = true
	if got, err := table.Publish(t.Context(), web(spec.Port{Target: 81, Published: "9000-9001"}), nil); err != nil || got[0].HostPort != 9001 {
		t.Errorf("of a range it has %s, %v", told(got), err)
	}
	_, err := table.Publish(t.Context(), web(spec.Port{Target: 82, Published: "9000"}), nil)
	if bad, ok := errors.AsType[*Error](err); !ok || bad.Port != "9000" || err.Error() != "cannot publish 9000/tcp for web: held by nginx (process 812): stop it, or publish another port, as in \"9001:82\"" {
		t.Errorf("got %v", err)
	}
}

// An instance gives way where the file's port is taken, and has the same port
// from then on. A one-off keeps none for it.
func TestAnInstanceKeepsThePortThatItWasGiven(t *testing.T) {
	b, k := newBook(), kept{}
	table := New(b, k)
	owner := Owner{Project: "shop-a", Service: "web", Number: 1, Ports: []spec.Port{{Target: 80, Published: "8080"}}}
	b.taken[8080] = true
	got, err := table.Publish(t.Context(), owner, nil)
	if err != nil || got[0].HostPort == 8080 || k["shop-a/web/1/tcp//8080/80"] != got[0].HostPort {
		t.Fatalf("it has %s, kept is %v, %v", told(got), k, err)
	}
	b.taken[8080] = false
	b.held = map[string]keeper.Port{}
	if again, err := table.Publish(t.Context(), owner, nil); err != nil || again[0].HostPort != got[0].HostPort {
		t.Errorf("after a while it has %s, before %s; %v", told(again), told(got), err)
	}
	owner.OneOff = "0123456789ab"
	if _, err := table.Publish(t.Context(), owner, nil); err != nil || len(k) != 1 {
		t.Errorf("kept are %v, %v", k, err)
	}
}

func TestPortsAreLedAndDrained(t *testing.T) {
	b := newBook()
	table := New(b, nobody{})
	owner := web(spec.Port{Target: 80, Published: "8080"}, spec.Port{Target: 53, Published: "53", Protocol: "udp"})
	if err := table.Lead(t.Context(), owner, netip.MustParseAddr("10.0.0.2"), false); err != nil {
		t.Fatal(err)
	}
	if r := b.routes["shop/web/1/tcp//8080/80"]; r.Parked || r.Backends[0].String() != "10.0.0.2:80" {
		t.Errorf("it leads to %+v", r)
	}
	if err := table.Lead(t.Context(), owner, netip.Addr{}, true); err != nil {
		t.Fatal(err)
	}
	if r := b.routes["shop/web/1/udp//53/53"]; !r.Parked || len(r.Backends) != 0 {
		t.Errorf("parked, it leads to %+v", r)
	}
	b.fails = errors.New("the keeper is gone")
	if err := table.Lead(t.Context(), owner, netip.Addr{}, true); err == nil || strings.Count(err.Error(), "the keeper is gone") != 2 {
		t.Errorf("got %v", err)
	}
	if got := owner.Targets(); !slices.Equal(got, []uint16{80}) {
		t.Errorf("TCP leads to %v", got)
	}
	if err := table.Drain(t.Context(), owner, keeper.Patience{}); err != nil {
		t.Errorf("nothing is under way: %v", err)
	}
	b.busy["shop/web/1/tcp//8080/80"], b.busy["shop/web/1/udp//53/53"] = 2, 7
	if err := table.Drain(t.Context(), owner, keeper.Patience{}); err == nil || err.Error() != "shop/web/1/tcp//8080/80: 2 under way" {
		t.Errorf("got %v", err)
	}
}

// Replicas start at once: which has which port of a range is not a matter of who is first.
func TestReplicasHaveThePortsOfARangeInTheirOrder(t *testing.T) {
	b := newBook()
	table := New(b, nobody{})
	for number, want := range map[int]int{3: 8002, 1: 8000, 2: 8001} {
		o := web(spec.Port{Target: 80, Published: "8000-8002"})
		o.Number = number
		if got, err := table.Publish(t.Context(), o, nil); err != nil || got[0].HostPort != want {
			t.Errorf("replica %d has %s, %v, want %d", number, told(got), err, want)
		}
	}
	b.taken[8001] = true // by somebody else
	o := web(spec.Port{Target: 81, Published: "8000-8009"})
	o.Number = 2
	if got, err := table.Publish(t.Context(), o, nil); err != nil || got[0].HostPort == 8001 {
		t.Errorf("it has %s, %v", told(got), err)
	}
}

// withoutSCTP is a keeper on a kernel that has none, or one that knows nothing of it.
type withoutSCTP struct {
	*book
	reason string
}

func (w *withoutSCTP) Listen(ctx context.Context, p keeper.Port) (netip.AddrPort, error) {
	if p.Proto == keeper.SCTP && w.reason != "" {
		return netip.AddrPort{}, &keeper.PortError{Port: p, Reason: w.reason}
	}
	return w.book.Listen(ctx, p)
}

func (w *withoutSCTP) Route(ctx context.Context, key string, r keeper.Route) error {
	if _, ok := w.held[key]; !ok {
		return fmt.Errorf("cannot route port %s: it is not published", key)
	}
	return w.book.Route(ctx, key, r)
}

// TestAContainerStartsWithoutSCTP: one that is there already comes back after an upgrade or
// a restart, with its other ports; what is asked for now is refused.
func TestAContainerStartsWithoutSCTP(t *testing.T) {
	for _, reason := range []string{sctp.ErrMissing.Error(), `no protocol "sctp": use tcp or udp`} {
		b := &withoutSCTP{newBook(), reason}
		table := New(b, nobody{})
		var warned []error
		owner := web(spec.Port{Target: 80, Published: "80"}, spec.Port{Target: 3868, Published: "3868", Protocol: "sctp"})
		owner.Warn = func(err error) { warned = append(warned, err) }
		for range 2 {
			got, err := table.Publish(t.Context(), owner, nil)
			if err != nil || len(got) != 2 || got[0].HostPort != 80 || got[1].HostPort != 80 || len(b.held) != 1 {
				t.Fatalf("it has %s, %v", told(got), err)
			}
		}
		if len(warned) != 2 || !strings.Contains(warned[0].Error(), "cannot publish 3868/sctp for web: "+reason) {
			t.Errorf("warned is %v", warned)
		}
		if err := table.Lead(t.Context(), owner, netip.MustParseAddr("10.0.0.1"), false); err != nil {
			t.Errorf("to lead what is there: %v", err)
		}
		open, err := table.Open(t.Context())
		if lost := owner.Unbound(open); err != nil || len(lost) > 0 {
			t.Errorf("lost are %v, %v", lost, err)
		}
		oneOff := owner
		oneOff.OneOff = "0123456789ab"
		for _, asked := range []struct {
			Owner
			plan *planner.Plan
		}{{owner, &planner.Plan{}}, {oneOff, nil}} {
			if _, err := table.Publish(t.Context(), asked.Owner, asked.plan); err == nil || !strings.Contains(err.Error(), reason) {
				t.Errorf("what is asked for now: %v", err)
			}
		}
		b.reason = ""
		if got, err := table.Publish(t.Context(), owner, nil); err != nil || len(got) != 4 || b.held[owner.Place()+"sctp//3868/3868"].Port != 3868 {
			t.Errorf("when the kernel has it: %s, %v", told(got), err)
		}
		delete(b.held, owner.Place()+"sctp//3868/3868")
		if open, err = table.Open(t.Context()); err != nil || len(owner.Unbound(open)) != 1 {
			t.Errorf("and it is lost then: %v, %v", open, err)
		}
	}
}
