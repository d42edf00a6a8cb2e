package ways

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orlop/orlop/keeper"
	"github.com/orlop/orlop/runner/network"
	"github.com/orlop/orlop/runner/network/ruleset"
	"github.com/orlop/orlop/runner/ports/nat"
)

// machine is all that ways go by. What is done is noted in its order.
type machine struct {
	mu       sync.Mutex
	done     []string
	rules    map[string]bool
	refuses  error // what the kernel says to the next rule
	places   map[netip.Addr]network.Place
	listens  bool
	astray   bool // answers leave by another way
	obstacle ruleset.Obstacles
	changed  func()
	ports    []keeper.PortState
	routing  func() // called while the keeper leads a port elsewhere; may be nil
}

func (m *machine) note(what string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done = append(m.done, what)
}

func (m *machine) Listen(_ context.Context, p keeper.Port) (netip.AddrPort, error) {
	return netip.AddrPortFrom(netip.IPv6Unspecified(), p.Port), nil
}

func (m *machine) Route(_ context.Context, key string, r keeper.Route) error {
	what := "park " + key
	if !r.Parked {
		what = "lead " + key
		for _, b := range r.Backends {
			what += " " + b.String()
		}
	}
	m.note(what)
	if m.routing != nil {
		m.routing()
	}
	return nil
}

func (m *machine) Drain(_ context.Context, key string, _ keeper.Patience) (int, error) {
	m.note("drain " + key)
	return 0, nil
}

func (m *machine) Close(_ context.Context, key string) error {
	m.note("close " + key)
	return nil
}

func (m *machine) Ports(context.Context) ([]keeper.PortState, error) { return m.ports, nil }

func (m *machine) Place(addr netip.Addr) (network.Place, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p, ok := m.places[addr]
	return p, ok
}

func (m *machine) isListening(string, byte, netip.AddrPort) (listens, leaves bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.listens, !m.astray, nil
}

func (m *machine) forget(all ...nat.Flows) error {
	for _, f := range all {
		switch {
		case !f.To.IsValid():
			m.note(fmt.Sprint("forget through ", f.Through))
		case f.To.Port() == 0:
			m.note("forget " + f.To.Addr().String())
		default:
			m.note("forget " + f.To.String())
		}
	}
	return nil
}

func (m *machine) Read() (ruleset.Obstacles, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.obstacle, nil
}

func (m *machine) Watch(ctx context.Context, changed func()) error {
	m.mu.Lock()
	m.changed = changed
	m.mu.Unlock()
	changed()
	<-ctx.Done()
	return nil
}

// table is the kernel's rules of a machine.
type table struct{ *machine }

func (t table) Add(r nat.Rule) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.refuses; err != nil {
		t.refuses = nil
		clear(t.rules)
		return err
	}
	t.done = append(t.done, "rule "+r.To.String())
	t.rules[r.To.String()] = true
	return nil
}

func (t table) Remove(r nat.Rule) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done = append(t.done, "no rule "+r.To.String())
	delete(t.rules, r.To.String())
	return nil
}

func (t table) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.rules)
	return nil
}

const old, young, old6 = "10.0.0.2", "10.0.0.3", "fd00::2"

// with runs a test with ways on a machine, whose container at old listens.
func with(t *testing.T, off bool, test func(m *machine, w *Ways)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := &machine{rules: map[string]bool{}, listens: true, places: map[netip.Addr]network.Place{
			netip.MustParseAddr(old): {Netns: "old"}, netip.MustParseAddr(young): {Netns: "young"},
		}}
		w := New(t.Context(), Config{Listeners: m, Places: m, Rules: table{m}, Host: m, Listens: m.isListening, Forget: m.forget, Off: off, Log: slog.New(slog.DiscardHandler)})
		synctest.Wait()
		test(m, w)
		if err := w.End(); err != nil {
			t.Error(err)
		}
		if len(m.rules) > 0 {
			t.Errorf("after the end there are rules: %v", m.rules)
		}
	})
}

func listen(t *testing.T, w *Ways, p keeper.Port) {
	t.Helper()
	if _, err := w.Listen(t.Context(), p); err != nil {
		t.Fatal(err)
	}
}

func lead(t *testing.T, w *Ways, key string, parked bool, to ...string) {
	t.Helper()
	r := keeper.Route{Parked: parked}
	for _, addr := range to {
		r.Backends = append(r.Backends, netip.AddrPortFrom(netip.MustParseAddr(addr), 80))
	}
	if err := w.Route(t.Context(), key, r); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

// expect says how the IPv4 leg of the first port goes: "" by the kernel, else why not.
func (m *machine) expect(t *testing.T, w *Ways, when, why string) {
	t.Helper()
	synctest.Wait()
	got := w.Ways()[0]
	if got.ByKernel != (why == "") || !strings.Contains(got.Why, why) || got.ByKernel && got.Why != "" {
		t.Errorf("%s: by the kernel: %t, %q; want %q", when, got.ByKernel, got.Why, why)
	}
}

var web = keeper.Port{Key: "p/web/1/tcp//80/80", Proto: keeper.TCP, Port: 80}

// TestTheKernelIsToldLastAndAskedFirst: a rule is made once the keeper leads the same way, and is
// gone before the keeper parks, so that a connection always has somebody.
func TestTheKernelIsToldLastAndAskedFirst(t *testing.T) {
	with(t, false, func(m *machine, w *Ways) {
		listen(t, w, web)
		lead(t, w, web.Key, false, old)
		lead(t, w, web.Key, false, old) // no change
		lead(t, w, web.Key, true)
		lead(t, w, web.Key, false, young)
		lead(t, w, web.Key, false, old)
		if err := w.Close(t.Context(), web.Key); err != nil {
			t.Error(err)
		}
		want := []string{
			"lead " + web.Key + " 10.0.0.2:80", "rule 10.0.0.2:80", "lead " + web.Key + " 10.0.0.2:80",
			"no rule 10.0.0.2:80", "park " + web.Key,
			"lead " + web.Key + " 10.0.0.3:80", "rule 10.0.0.3:80",
			"no rule 10.0.0.3:80", "lead " + web.Key + " 10.0.0.2:80", "rule 10.0.0.2:80",
			"no rule 10.0.0.2:80", "close " + web.Key,
		}
		if !slices.Equal(m.done, want) {
			t.Errorf("done: %s", strings.Join(m.done, "\n\t"))
		}
	})
}

// TestAPortThatIsClosedWhileItIsLedHasNoRule: nobody would take it away any more.
func TestAPortThatIsClosedWhileItIsLedHasNoRule(t *testing.T) {
	with(t, false, func(m *machine, w *Ways) {
		listen(t, w, web)
		closed := make(chan error, 1)
		m.routing = func() {
			m.routing = nil
			go func() { closed <- w.Close(t.Context(), web.Key) }()
			for range 1000 { // it waits for a lock, which the test's own time does not know as waiting
				runtime.Gosched()
			}
		}
		lead(t, w, web.Key, false, old)
		if err := <-closed; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if len(m.rules) > 0 || len(w.Ways()) > 0 {
			t.Errorf("there are rules: %v, and ports: %v", m.rules, w.Ways())
		}
	})
}

// TestWhatTheKernelMayNotSend goes by the keeper, which says why.
func TestWhatTheKernelMayNotSend(t *testing.T) {
	for name, c := range map[string]struct {
		port keeper.Port
		set  func(m *machine)
		to   []string
		why  string
	}{
		"nothing in the way":     {web, func(*machine) {}, []string{old}, ""},
		"UDP":                    {keeper.Port{Key: "k", Proto: keeper.UDP}, func(*machine) {}, []string{old}, ""},
		"SCTP":                   {keeper.Port{Key: "k", Proto: keeper.SCTP}, func(*machine) {}, []string{old}, "neither TCP nor UDP"},
		"the loopback":           {keeper.Port{Key: "k", Proto: keeper.TCP, Addr: netip.MustParseAddr("127.0.0.1")}, func(*machine) {}, []string{old}, "loopback"},
		"the loopback of IPv6":   {keeper.Port{Key: "k", Proto: keeper.TCP, Addr: netip.IPv6Loopback()}, func(*machine) {}, []string{old}, "loopback"},
		"IPv6 to IPv4":           {keeper.Port{Key: "k", Proto: keeper.TCP, Addr: netip.IPv6Unspecified()}, func(*machine) {}, []string{old}, "no IPv6"},
		"an address":             {keeper.Port{Key: "k", Proto: keeper.TCP, Addr: netip.MustParseAddr("10.1.0.1")}, func(*machine) {}, []string{old}, ""},
		"several containers":     {web, func(*machine) {}, []string{old, young}, "no container"},
		"none":                   {web, func(*machine) {}, nil, "no container"},
		"nobody listens":         {web, func(m *machine) { m.listens = false }, []string{old}, "nothing listens"},
		"answers go astray":      {web, func(m *machine) { m.astray = true }, []string{old}, "leave by another way"},
		"they would not be ours": {web, func(m *machine) { m.places[netip.MustParseAddr(old)] = network.Place{Why: "internal"} }, []string{old}, "internal"},
		"a container unknown":    {web, func(m *machine) { clear(m.places) }, []string{old}, "no IPv4"},
		"a firewall":             {web, func(m *machine) { m.obstacle.IPv4 = "filters"; m.changed() }, []string{old}, "filters"},
		"one of IPv6":            {web, func(m *machine) { m.obstacle.IPv6 = "filters"; m.changed() }, []string{old}, ""},
		"a kernel that refuses":  {web, func(m *machine) { m.refuses = errors.New("no nftables") }, []string{old}, "no nftables"},
	} {
		with(t, false, func(m *machine, w *Ways) {
			c.set(m)
			synctest.Wait()
			listen(t, w, c.port)
			lead(t, w, c.port.Key, false, c.to...)
			m.expect(t, w, name, c.why)
			if c.why != "" && len(m.rules) > 0 {
				t.Errorf("%s: there are rules: %v", name, m.rules)
			}
		})
	}
	with(t, true, func(m *machine, w *Ways) {
		listen(t, w, web)
		lead(t, w, web.Key, false, old)
		m.expect(t, w, "with the setting", "published_ports: userspace")
	})
}

// TestAPortFollowsWhatIsInItsWay, back and forth.
func TestAPortFollowsWhatIsInItsWay(t *testing.T) {
	with(t, false, func(m *machine, w *Ways) {
		listen(t, w, web)
		m.listens = false
		lead(t, w, web.Key, false, old)
		m.expect(t, w, "before it listens", "nothing listens")
		m.mu.Lock()
		m.listens = true
		m.mu.Unlock()
		time.Sleep(2 * mostPause) // of the test's own clock
		m.expect(t, w, "once it listens", "")
		block := func(why string) {
			m.mu.Lock()
			m.obstacle.IPv4 = why
			m.mu.Unlock()
			m.changed()
			synctest.Wait()
		}
		block("a firewall")
		m.expect(t, w, "with a firewall", "a firewall")
		block("")
		time.Sleep(2 * settle)
		m.expect(t, w, "without it", "")
		m.mu.Lock()
		m.places[netip.MustParseAddr(old)] = network.Place{Netns: "old", Why: "its own routes"}
		m.mu.Unlock()
		w.Recheck()
		if len(m.rules) > 0 {
			t.Error("a rule leads to a container whose programs may change its routes")
		}
		m.expect(t, w, "with routes of its own", "its own routes")
		m.mu.Lock()
		m.places[netip.MustParseAddr(old)] = network.Place{Netns: "old", Links: []string{"another"}}
		m.mu.Unlock()
		w.Recheck()
		m.expect(t, w, "on another network", "")
		m.mu.Lock()
		delete(m.places, netip.MustParseAddr(old))
		m.mu.Unlock()
		w.Recheck()
		m.expect(t, w, "on no network", "lost its address")
	})
}

// TestConnectionsToWhoIsGoneAreForgotten, and none to who was never sent any.
func TestConnectionsToWhoIsGoneAreForgotten(t *testing.T) {
	with(t, false, func(m *machine, w *Ways) {
		listen(t, w, web)
		lead(t, w, web.Key, false, old)
		lead(t, w, web.Key, true)
		for _, addr := range []string{young, old, old} {
			w.Released(netip.MustParseAddr(addr))
		}
		time.Sleep(2 * together)
		synctest.Wait()
		if got := m.done[len(m.done)-2:]; !slices.Equal(got, []string{"park " + web.Key, "forget " + old}) {
			t.Errorf("done at last: %v", got)
		}
	})
}

// TestDatagramsComeToTheKeeperWhenTheRuleGoes: those of clients, too, whose flow the machine knows
// to lead to the container. So do those that an earlier engine has sent there.
func TestDatagramsComeToTheKeeperWhenTheRuleGoes(t *testing.T) {
	with(t, false, func(m *machine, w *Ways) {
		dns := keeper.Port{Key: "p/dns/1/udp//53/80", Proto: keeper.UDP, Port: 53}
		listen(t, w, dns)
		lead(t, w, dns.Key, false, old)
		lead(t, w, dns.Key, true)
		want := []string{
			"lead " + dns.Key + " 10.0.0.2:80", "forget through 53", "forget through 53", "rule 10.0.0.2:80",
			"no rule 10.0.0.2:80", "park " + dns.Key, "forget 10.0.0.2:80",
		}
		if !slices.Equal(m.done, want) {
			t.Errorf("done: %s", strings.Join(m.done, "\n\t"))
		}
	})
}

// TestARefusalIsNotForEver: the kernel is asked again.
func TestARefusalIsNotForEver(t *testing.T) {
	with(t, false, func(m *machine, w *Ways) {
		m.refuses = errors.New("busy")
		listen(t, w, web)
		lead(t, w, web.Key, false, old)
		m.expect(t, w, "at first", "busy")
		time.Sleep(2 * tryAgain)
		m.expect(t, w, "later", "")
	})
}

// TestEachFamilyHasItsOwnWay: clients of IPv6 get to a container that has none by the keeper.
func TestEachFamilyHasItsOwnWay(t *testing.T) {
	with(t, false, func(m *machine, w *Ways) {
		listen(t, w, web)
		lead(t, w, web.Key, false, old)
		if got := w.Ways(); len(got) != 2 || !got[0].ByKernel || got[1].ByKernel || !strings.Contains(got[1].Why, "no IPv6") {
			t.Errorf("of one family: %+v", got)
		}
		m.places[netip.MustParseAddr(old)] = network.Place{Netns: "old", Other: netip.MustParseAddr(old6)}
		m.places[netip.MustParseAddr(old6)] = network.Place{Netns: "old", Other: netip.MustParseAddr(old)}
		lead(t, w, web.Key, true)
		lead(t, w, web.Key, false, old)
		if !m.rules["10.0.0.2:80"] || !m.rules["[fd00::2]:80"] {
			t.Errorf("of both families: %v", m.rules)
		}
	})
}

// TestAnEngineTakesUpAnEarlierOnesPorts, which the keeper has.
func TestAnEngineTakesUpAnEarlierOnesPorts(t *testing.T) {
	with(t, false, func(m *machine, w *Ways) {
		m.ports = []keeper.PortState{{Port: keeper.Port{Key: web.Key, Proto: keeper.TCP}, Bound: netip.MustParseAddrPort("[::]:80")}}
		lead(t, w, web.Key, false, old)
		m.expect(t, w, "of an earlier engine", "")
	})
}
