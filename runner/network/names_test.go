package network

import (
	"net/netip"
	"runtime"
	"slices"
	"testing"

	"github.com/miekg/dns"

	"github.com/orlop/orlop/keeper"
	"github.com/orlop/orlop/runner/network/links"
)

func query(name string) []byte {
	packed, err := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeA).Pack()
	if err != nil {
		panic(err)
	}
	return packed
}

// TestWhoIsDetachedHasNoNameThere: and keeps those on his other networks.
func TestWhoIsDetachedHasNoNameThere(t *testing.T) {
	end := func(network, addr string, detached bool) endpoint {
		return endpoint{Network: network, Address: netip.MustParseAddr(addr), Detached: detached}
	}
	s := &sandbox{
		ID: "0123456789abcdef", Spec: Sandbox{Names: []string{"web"}, Endpoints: []Endpoint{{Network: "front"}, {Network: "back", Aliases: []string{"www"}}}},
		Endpoints: []endpoint{end("front", "10.0.0.2", true), end("back", "10.0.1.2", false)},
	}
	places := s.host().Places
	if len(places) != 1 || places[0].Network != "back" || !slices.Equal(places[0].Names, []string{"web", "www", "0123456789ab"}) {
		t.Errorf("it is found at %v", places)
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
		if found := m.sandboxFaults(a, host, true); len(found) > 0 || a.Endpoints[0].Address != before {
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
