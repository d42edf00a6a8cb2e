package network

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/orlop/orlop/runner/network/kernel"
)

// books are a Manager's without a machine below them.
func books(t *testing.T, networks ...string) *Manager {
	t.Helper()
	m := &Manager{
		cfg: Config{ID: "t1"}, networks: map[string]*network{}, sandboxes: map[string]*sandbox{}, linkNames: map[string]bool{},
		reserved: map[string]map[string][]netip.Addr{}, inside: map[kernel.Namespace]*sandbox{},
	}
	for i, name := range networks {
		subnet := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i), 0}), 29)
		m.networks[name] = newNetwork(Network{Name: name, Subnet: subnet, Gateway: subnet.Addr().Next()})
	}
	return m
}

func TestAPlaceIsTakenOnceAndGivenBackWhole(t *testing.T) {
	m := books(t, "front", "back")
	s, nets, existed, err := m.reserve("a", on("front", "back"))
	if err != nil || existed || len(nets) != 2 {
		t.Fatalf("%v, existed %t, on %v", err, existed, nets)
	}
	if got := []string{s.Endpoints[0].Address.String(), s.Endpoints[1].Address.String()}; !slices.Equal(got, []string{"10.0.0.2", "10.0.1.2"}) {
		t.Errorf("its addresses are %v", got)
	}
	if s.Endpoints[0].Link == s.Endpoints[1].Link || len(m.linkNames) != 2 || !isLinkName(s.Endpoints[0].Link, m.linkPrefix()) {
		t.Errorf("its links are %+v", s.Endpoints)
	}
	if _, _, _, err := m.reserve("a", on("front")); err == nil || !strings.Contains(err.Error(), "just being connected") {
		t.Errorf("while it is made: %v", err)
	}
	s.busy, s.Ready = false, true
	if again, _, existed, err := m.reserve("a", on("front", "back")); err != nil || !existed || again != s {
		t.Errorf("the same once more: %v, existed %t", err, existed)
	}
	s.busy = false
	if _, _, _, err := m.reserve("a", on("front")); err == nil || !strings.Contains(err.Error(), "in another way") {
		t.Errorf("in another way: %v", err)
	}
	m.release(s)
	delete(m.sandboxes, "a")
	if len(m.linkNames) != 0 || m.networks["front"].addrs.InUse() != 1 || m.networks["back"].addrs.InUse() != 1 {
		t.Errorf("it leaves links %v, addresses %v", m.linkNames, m.networks["front"].addrs)
	}
}

// TestAPlaceThatCanNotBeHadTakesNothing: all of it or none.
func TestAPlaceThatCanNotBeHadTakesNothing(t *testing.T) {
	m := books(t, "front", "back")
	if _, _, _, err := m.reserve("first", Sandbox{Names: []string{"db"}, Endpoints: []Endpoint{{Network: "back", IPv4: netip.MustParseAddr("10.0.1.4")}}}); err != nil {
		t.Fatal(err)
	}
	links := len(m.linkNames)
	for name, c := range map[string]struct {
		spec Sandbox
		want string
	}{
		"a network that is not there": {on("front", "none"), "there is no network none"},
		"one network twice":           {on("front", "front"), "on network front twice"},
		"somebody's address": {
			Sandbox{Endpoints: []Endpoint{{Network: "front"}, {Network: "back", IPv4: netip.MustParseAddr("10.0.1.4")}}}, "10.0.1.4 is in use by db",
		},
		"the gateway's": {Sandbox{Endpoints: []Endpoint{{Network: "front", IPv4: netip.MustParseAddr("10.0.0.1")}}}, "10.0.0.1 is in use"},
		"none of it":    {Sandbox{Endpoints: []Endpoint{{Network: "front", IPv4: netip.MustParseAddr("10.9.9.9")}}}, "is not a host address"},
	} {
		if _, _, _, err := m.reserve("x", c.spec); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if _, there := m.sandboxes["x"]; there || len(m.linkNames) != links || m.networks["front"].addrs.InUse() != 1 {
			t.Errorf("%s: it leaves links %v, addresses %v", name, m.linkNames, m.networks["front"].addrs)
		}
	}
}

// TestAFixedAddressIsForWhoAsksForIt: whoever comes first.
func TestAFixedAddressIsForWhoAsksForIt(t *testing.T) {
	m := books(t, "front")
	fixed := netip.MustParseAddr("10.0.0.2")
	m.Reserve("shop", map[string][]netip.Addr{"front": {fixed}})
	s, _, _, err := m.reserve("a", on("front"))
	if err != nil || s.Endpoints[0].Address == fixed {
		t.Errorf("who asks for none has %v, %v", s.Endpoints, err)
	}
	s, _, _, err = m.reserve("b", Sandbox{Endpoints: []Endpoint{{Network: "front", IPv4: fixed}}})
	if err != nil || s.Endpoints[0].Address != fixed {
		t.Errorf("who asks for it has %v, %v", s.Endpoints, err)
	}
	m.Reserve("shop", nil)
	m.release(s)
	delete(m.sandboxes, "b")
	var last []string
	for i := range 4 {
		s, _, _, err := m.reserve(string(rune('c'+i)), on("front"))
		if err != nil {
			t.Fatal(err)
		}
		last = append(last, s.Endpoints[0].Address.String())
	}
	if !slices.Contains(last, fixed.String()) {
		t.Errorf("what is reserved no more is not handed out: %v", last)
	}
	if _, _, _, err := m.reserve("z", on("front")); err == nil || !strings.Contains(err.Error(), "all addresses") {
		t.Errorf("a full network: %v", err)
	}
}

func TestWhoIsOnANetworkIsNamed(t *testing.T) {
	m := books(t, "front", "back")
	for id, names := range map[string][]string{"b": {"web"}, "a": nil} {
		spec := on("front")
		spec.Names = names
		if _, _, _, err := m.reserve(id, spec); err != nil {
			t.Fatal(err)
		}
	}
	if got := m.usersOf("front"); !slices.Equal(got, []string{"a", "web"}) {
		t.Errorf("front has %v", got)
	}
	if got := m.usersOf("back"); len(got) != 0 {
		t.Errorf("back has %v", got)
	}
	m.sandboxes["b"].Endpoints[0].Detached = true
	if got := m.usersOf("front"); !slices.Equal(got, []string{"a"}) {
		t.Errorf("with one detached front has %v", got)
	}
}

func TestANetworkIsTheSameByWhatCanNotBeChanged(t *testing.T) {
	have := Network{Name: "front", Subnet: netip.MustParsePrefix("10.0.0.0/24"), Gateway: netip.MustParseAddr("10.0.0.1")}
	for name, c := range map[string]struct {
		want Spec
		same bool
	}{
		"nothing in particular": {Spec{}, true},
		"all of it":             {Spec{Subnet: netip.MustParsePrefix("10.0.0.7/24"), Gateway: have.Gateway}, true},
		"labels":                {Spec{Labels: map[string]string{"a": "b"}}, true},
		"another subnet":        {Spec{Subnet: netip.MustParsePrefix("10.0.1.0/24")}, false},
		"another gateway":       {Spec{Gateway: netip.MustParseAddr("10.0.0.2")}, false},
		"internal":              {Spec{Internal: true}, false},
	} {
		if err := differs(have, c.want); (err == nil) != c.same {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatNoNetworkCanBeIsSaid(t *testing.T) {
	prefix, addr := netip.MustParsePrefix, netip.MustParseAddr
	for name, c := range map[string]struct {
		spec Spec
		want string // "": it can
	}{
		"by itself":               {Spec{}, ""},
		"a subnet":                {Spec{Subnet: prefix("10.0.0.0/24")}, ""},
		"the least":               {Spec{Subnet: prefix("10.0.0.0/30")}, ""},
		"too little":              {Spec{Subnet: prefix("10.0.0.0/31")}, "no room"},
		"the other family":        {Spec{Subnet6: prefix("fd00::/64")}, "of addresses that the network has none of"},
		"no family":               {Spec{NoIPv4: true}, "of IPv4, of IPv6 or of both"},
		"a gateway alone":         {Spec{Gateway: addr("10.0.0.1")}, "needs a subnet"},
		"a gateway elsewhere":     {Spec{Subnet: prefix("10.0.0.0/24"), Gateway: addr("10.0.1.1")}, "not in subnet"},
		"a range alone":           {Spec{Range: prefix("10.0.0.0/28")}, "needs a subnet"},
		"a range elsewhere":       {Spec{Subnet: prefix("10.0.0.0/24"), Range: prefix("10.0.1.0/28")}, "not inside"},
		"a range that is greater": {Spec{Subnet: prefix("10.0.0.0/24"), Range: prefix("10.0.0.0/23")}, "not inside"},
	} {
		err := checkSpec(c.spec)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLinksOfAnotherEngineAreNotOurs: an ID may begin with another one.
func TestLinksOfAnotherEngineAreNotOurs(t *testing.T) {
	for name, ours := range map[string]bool{
		"ort1b012345": true, "ort1vabcdef": true, "ort1x012345": false, "ort1b01234": false, "ort12b012345": false, "eth0": false, "ort1": false,
	} {
		if isLinkName(name, "ort1") != ours {
			t.Errorf("%s: ours %t", name, !ours)
		}
	}
	m := books(t)
	seen := map[string]bool{}
	for range 200 {
		name := m.newLinkName("v")
		if seen[name] || len(name) > 15 || !isLinkName(name, m.linkPrefix()) {
			t.Fatalf("a new link is called %q", name)
		}
		seen[name] = true
	}
}
