package network

import (
	"net/netip"
	"strings"
	"testing"
)

func nobody(netip.Addr) bool { return false }

func TestAddressesAreOfTheRangeAndNobodysElse(t *testing.T) {
	for _, c := range []struct{ within, reserved, want string }{
		{"", "", "192.0.2.2 192.0.2.3 192.0.2.4 192.0.2.5 192.0.2.6 192.0.2.7 192.0.2.8 192.0.2.9 192.0.2.10 192.0.2.11 192.0.2.12 192.0.2.13 192.0.2.14"},
		{"192.0.2.8/30", "", "192.0.2.8 192.0.2.9 192.0.2.10 192.0.2.11"},
		{"192.0.2.0/30", "", "192.0.2.2 192.0.2.3"},
		{"192.0.2.12/30", "192.0.2.13", "192.0.2.12 192.0.2.14"},
	} {
		p := newAddrPool(netip.MustParsePrefix("192.0.2.0/28"), netip.MustParseAddr("192.0.2.1"))
		if c.within != "" {
			p.bound(netip.MustParsePrefix(c.within))
		}
		var got []string
		for {
			a, err := p.take(netip.Addr{}, func(a netip.Addr) bool { return a.String() == c.reserved })
			if err != nil {
				break
			}
			got = append(got, a.String())
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("range %q, reserved %q: %v", c.within, c.reserved, got)
		}
		// Who asks for an address is bound by neither.
		if c.reserved != "" {
			if a, err := p.take(netip.MustParseAddr(c.reserved), nobody); err != nil {
				t.Errorf("%s: %v", a, err)
			}
		}
	}
	for within, isGood := range map[string]bool{"192.0.2.0/28": true, "192.0.2.8/30": true, "192.0.2.0/27": false, "198.51.100.0/30": false} {
		if err := checkRange(netip.MustParsePrefix("192.0.2.0/28"), netip.MustParsePrefix(within)); (err == nil) != isGood {
			t.Errorf("%s: %v", within, err)
		}
	}
}

func TestAPickedSubnetHasRoomForAll(t *testing.T) {
	for containers, want := range map[int]string{0: "10.89.0.0/24", 200: "10.89.0.0/24", 250: "10.89.0.0/23", 500: "10.89.0.0/22", 1000: "10.89.0.0/21"} {
		got, err := pickSubnet(DefaultPools(), nil, bitsFor(containers))
		if err != nil || got.String() != want {
			t.Errorf("for %d containers: %s, %v; want %s", containers, got, err, want)
		}
	}
	small := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/26")}
	if got, err := pickSubnet(small, nil, bitsFor(500)); err != nil || got != small[0] {
		t.Errorf("of a small pool: %s, %v", got, err)
	}
}

func TestAddressesComeBackLate(t *testing.T) {
	p := newAddrPool(netip.MustParsePrefix("192.0.2.0/29"), netip.MustParseAddr("192.0.2.1"))
	var got []string
	for range 5 {
		a, err := p.take(netip.Addr{}, nobody)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, a.String())
		if len(got) == 1 {
			p.give(a)
		}
	}
	if want := "192.0.2.2 192.0.2.3 192.0.2.4 192.0.2.5 192.0.2.6"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
	if a, err := p.take(netip.Addr{}, nobody); err != nil || a.String() != "192.0.2.2" {
		t.Errorf("the only one left: %v, %v", a, err)
	}
	if a, err := p.take(netip.Addr{}, nobody); err == nil {
		t.Errorf("a full subnet gives %s", a)
	}
	for _, bad := range []string{"192.0.2.0", "192.0.2.7", "192.0.2.1", "198.51.100.1"} {
		if _, err := p.take(netip.MustParseAddr(bad), nobody); err == nil {
			t.Errorf("%s is given", bad)
		}
	}
}
