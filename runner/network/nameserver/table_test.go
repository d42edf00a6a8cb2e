package nameserver

import (
	"net/netip"
	"slices"
	"testing"
)

// named is a host of that name, its first, which goes by its names in every place.
func named(id string, alive bool, names []string, places ...Place) Host {
	h := Host{ID: id, Name: names[0], IsActive: alive, Places: places}
	for i := range h.Places {
		h.Places[i].Names = append(slices.Clone(names), id)
	}
	return h
}

func at(network, addr string) Place {
	return Place{Network: network, Address: netip.MustParseAddr(addr)}
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
	table := newTable()
	web := named("0123456789ab", true, []string{"shop-web-1", "web"}, at("front", "10.0.0.2"), at("back", "10.0.1.2"))
	web.Places[0].Names = append(web.Places[0].Names, "WWW.")
	second := named("fedcba9876543210", true, []string{"shop-web-2", "web"}, at("front", "10.0.0.3"))
	db := named("dddddddddddddddd", true, []string{"shop-db-1", "db"}, at("back", "10.0.1.3"))
	for _, s := range []Host{web, second, db} {
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
	table := newTable()
	table.add(named("a0", false, []string{"web"}, at("front", "10.0.0.2")))
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
	table := newTable()
	table.add(named("a0", true, []string{"web"}, at("front", "10.0.0.2")))
	if _, ok := table.reverse([]string{"back"}, netip.MustParseAddr("10.0.0.2")); ok {
		t.Error("a network tells names of another")
	}
	if _, ok := table.reverse([]string{"front"}, netip.MustParseAddr("10.0.0.9")); ok {
		t.Error("nobody's address has a name")
	}
}
