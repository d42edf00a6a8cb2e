package network

import (
	"net/netip"
	"runtime"
	"slices"
	"testing"

	"github.com/orlop/orlop/keeper"
	"github.com/orlop/orlop/runner/network/links"
)

func named(id string, alive bool, names []string, ends ...endpoint) *sandbox {
	s := &sandbox{ID: id, Alive: alive, Spec: Sandbox{Names: names}, Endpoints: ends}
	for _, e := range ends {
		s.Spec.Endpoints = append(s.Spec.Endpoints, Endpoint{Network: e.Network})
	}
	return s
}

func end(network, addr string) endpoint {
	return endpoint{Network: network, Address: netip.MustParseAddr(addr)}
}

func texts(addrs []netip.Addr) []string {
	var out []string
	for _, a := range addrs {
		out = append(out, a.String())
	}
	slices.Sort(out)
	return out
}

// TestNamesAreThoseOfTheNetworksThatOneIsOn: by service, by container and by ID,
// in any case, with or without the dot at the end.
func TestNamesAreThoseOfTheNetworksThatOneIsOn(t *testing.T) {
	table := newNameTable()
	web := named("0123456789abcdef", true, []string{"shop-web-1", "web"}, end("front", "10.0.0.2"), end("back", "10.0.1.2"))
	web.Spec.Endpoints[0].Aliases = []string{"WWW."}
	second := named("fedcba9876543210", true, []string{"shop-web-2", "web"}, end("front", "10.0.0.3"))
	db := named("dddddddddddddddd", true, []string{"shop-db-1", "db"}, end("back", "10.0.1.3"))
	for _, s := range []*sandbox{web, second, db} {
		table.add(s)
	}
	for _, c := range []struct {
		networks []string
		name     string
		want     []string
		known    bool
	}{
		{[]string{"front"}, "web", []string{"10.0.0.2", "10.0.0.3"}, true},
		{[]string{"back"}, "web", []string{"10.0.1.2"}, true},
		{[]string{"front", "back"}, "web", []string{"10.0.0.2", "10.0.0.3", "10.0.1.2"}, true},
		{[]string{"front"}, "www", []string{"10.0.0.2"}, true},
		{[]string{"back"}, "www", nil, false},
		{[]string{"front"}, "shop-web-2", []string{"10.0.0.3"}, true},
		{[]string{"front"}, "0123456789ab", []string{"10.0.0.2"}, true},
		{[]string{"front"}, "0123456789abcdef", nil, false},
		{[]string{"front"}, "db", nil, false},
		{nil, "web", nil, false},
	} {
		got, known := table.lookup(c.networks, c.name)
		if !slices.Equal(texts(got), c.want) || known != c.known {
			t.Errorf("%s on %v is %v, known %t", c.name, c.networks, got, known)
		}
	}
}

// TestWhoDoesNotRunIsKnownAndNotFound: a name of somebody here is asked of nobody
// else while he is away.
func TestWhoDoesNotRunIsKnownAndNotFound(t *testing.T) {
	table := newNameTable()
	table.add(named("a0", false, []string{"web"}, end("front", "10.0.0.2")))
	look := func() (int, bool) {
		got, known := table.lookup([]string{"front"}, "web")
		return len(got), known
	}
	if n, known := look(); n != 0 || !known {
		t.Errorf("before its start: %d, known %t", n, known)
	}
	table.setActive("a0", true)
	if n, known := look(); n != 1 || !known {
		t.Errorf("once it runs: %d, known %t", n, known)
	}
	if name, ok := table.reverse([]string{"front"}, netip.MustParseAddr("10.0.0.2")); !ok || name != "web.front" {
		t.Errorf("its address is %q, %t", name, ok)
	}
	table.setActive("a0", false)
	if _, ok := table.reverse([]string{"front"}, netip.MustParseAddr("10.0.0.2")); ok {
		t.Error("the address of who does not run has a name")
	}
	table.remove("a0")
	if n, known := look(); n != 0 || known {
		t.Errorf("once it is gone: %d, known %t", n, known)
	}
	if len(table.records) != 0 || len(table.hosts) != 0 {
		t.Errorf("it leaves %v and %v", table.records, table.hosts)
	}
}

func TestAnAddressHasANameOnItsOwnNetworksOnly(t *testing.T) {
	table := newNameTable()
	table.add(named("a0", true, []string{"web"}, end("front", "10.0.0.2")))
	if _, ok := table.reverse([]string{"back"}, netip.MustParseAddr("10.0.0.2")); ok {
		t.Error("a network tells names of another")
	}
	if _, ok := table.reverse([]string{"front"}, netip.MustParseAddr("10.0.0.9")); ok {
		t.Error("nobody's address has a name")
	}
}

// TestWhoIsDetachedHasNoNameThere: and keeps those on his other networks.
func TestWhoIsDetachedHasNoNameThere(t *testing.T) {
	table := newNameTable()
	away := end("front", "10.0.0.2")
	away.Detached = true
	table.add(named("a0", true, []string{"web"}, away, end("back", "10.0.1.2")))
	if got, known := table.lookup([]string{"front"}, "web"); known || len(got) > 0 {
		t.Errorf("on the network that is away it is %v", got)
	}
	if got, _ := table.lookup([]string{"back"}, "web"); !slices.Equal(texts(got), []string{"10.0.1.2"}) {
		t.Errorf("on the other it is %v", got)
	}
}

// TestWhatTheGuardHasInHandIsNotChanged begins an exchange of addresses while the
// guard looks: an address that is away for a moment would be damage to it, and its
// mending would be in the exchange's way.
func TestWhatTheGuardHasInHandIsNotChanged(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	m := openManager(t, testConfig(t, keeper.InProcess()))
	ensure(t, m, Spec{Name: "default"})
	create(t, m, "a", on("default"))
	create(t, m, "b", on("default"))
	m.mu.Lock()
	a := m.sandboxes["a"]
	before := a.Endpoints[0].Address
	m.mu.Unlock()
	exchanged := make(chan error, 1)
	m.atRest(a, func() {
		go func() { exchanged <- m.Exchange(t.Context(), "a", "b") }()
		for busy := false; !busy; runtime.Gosched() {
			m.mu.Lock()
			busy = a.busy
			m.mu.Unlock()
		}
		host, err := links.At(m.links)
		if err != nil {
			t.Error(err)
		}
		if found := m.sandboxFaults(a, host); len(found) > 0 || a.Endpoints[0].Address != before {
			t.Errorf("it is changed: %v", found)
		}
	})
	if err := <-exchanged; err != nil {
		t.Error(err)
	}
	m.mu.Lock()
	a.busy = true
	m.mu.Unlock()
	m.atRest(a, func() { t.Error("the guard looks at what is being changed") })
	m.vacate(a)
	if err := m.Mend(t.Context()); err != nil {
		t.Error(err)
	}
}
