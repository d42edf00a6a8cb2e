package pool

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
		p := New(netip.MustParsePrefix("192.0.2.0/28"), netip.MustParseAddr("192.0.2.1"))
		if c.within != "" {
			p.Bound(netip.MustParsePrefix(c.within))
		}
		var got []string
		for {
			a, err := p.Take(netip.Addr{}, func(a netip.Addr) bool { return a.String() == c.reserved })
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
			if a, err := p.Take(netip.MustParseAddr(c.reserved), nobody); err != nil {
				t.Errorf("%s: %v", a, err)
			}
		}
	}
}

func TestAPickedSubnetHasRoomForAll(t *testing.T) {
	for containers, want := range map[int]string{0: "10.89.0.0/24", 200: "10.89.0.0/24", 250: "10.89.0.0/23", 500: "10.89.0.0/22", 1000: "10.89.0.0/21"} {
		got, err := Pick4(Default(), nil, BitsFor(containers))
		if err != nil || got.String() != want {
			t.Errorf("for %d containers: %s, %v; want %s", containers, got, err, want)
		}
	}
	small := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/26")}
	if got, err := Pick4(small, nil, BitsFor(500)); err != nil || got != small[0] {
		t.Errorf("of a small pool: %s, %v", got, err)
	}
}

func TestAddressesComeBackLate(t *testing.T) {
	p := New(netip.MustParsePrefix("192.0.2.0/29"), netip.MustParseAddr("192.0.2.1"))
	var got []string
	for range 5 {
		a, err := p.Take(netip.Addr{}, nobody)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, a.String())
		if len(got) == 1 {
			p.Give(a)
		}
	}
	if want := "192.0.2.2 192.0.2.3 192.0.2.4 192.0.2.5 192.0.2.6"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
	if a, err := p.Take(netip.Addr{}, nobody); err != nil || a.String() != "192.0.2.2" {
		t.Errorf("the only one left: %v, %v", a, err)
	}
	if a, err := p.Take(netip.Addr{}, nobody); err == nil {
		t.Errorf("a full subnet gives %s", a)
	}
	for _, bad := range []string{"192.0.2.0", "192.0.2.7", "192.0.2.1", "198.51.100.1"} {
		if _, err := p.Take(netip.MustParseAddr(bad), nobody); err == nil {
			t.Errorf("%s is given", bad)
		}
	}
}

// Of IPv6 there are more addresses than anybody counts, and none is for all.
func TestAddressesOfIPv6(t *testing.T) {
	for subnet, want := range map[string]string{
		"fd00:1::/64": "fd00:1::2 fd00:1::3 fd00:1::4", "fd00:1::/48": "fd00:1::2 fd00:1::3 fd00:1::4", "fd00:1::8/126": "fd00:1::a fd00:1::b",
	} {
		prefix := netip.MustParsePrefix(subnet)
		p := New(prefix, prefix.Addr().Next())
		var got []string
		for range 3 {
			a, err := p.Take(netip.Addr{}, nobody)
			if err != nil {
				break
			}
			got = append(got, a.String())
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s gives %v, want %s", subnet, got, want)
		}
		if last := netip.MustParseAddr("fd00:1::ffff:ffff:ffff:ffff"); prefix.Bits() == 64 && !p.IsFree(last) {
			t.Errorf("%s is not to be had", last)
		}
		if p.IsHost(prefix.Masked().Addr()) || p.IsHost(netip.MustParseAddr("fd00:2::5")) {
			t.Errorf("%s: its own address, or another's, is a host's", subnet)
		}
	}
	p := New(netip.MustParsePrefix("fd00::/64"), netip.MustParseAddr("fd00::1"))
	p.Hold(netip.MustParseAddr("fd00::9"))
	if a, err := p.Take(netip.Addr{}, nobody); err != nil || a.String() != "fd00::a" {
		t.Errorf("after one that is held: %s, %v", a, err)
	}
}

func TestARangeThatIsTakenIsPassedOver(t *testing.T) {
	prefixes := func(list ...string) (out []netip.Prefix) {
		for _, text := range list {
			out = append(out, netip.MustParsePrefix(text))
		}
		return out
	}
	for _, c := range []struct {
		pool, taken []netip.Prefix
		want        string
	}{
		{prefixes("fd12:3456:789a::/48"), nil, "fd12:3456:789a::/64"},
		{prefixes("fd12:3456:789a::/48"), prefixes("fd12:3456:789a::/64", "fd12:3456:789a:1::5/128"), "fd12:3456:789a:2::/64"},
		{prefixes("fd00::/8"), prefixes("fd00::/9"), "fd80::/64"},
		{prefixes("fd00::/8", "fec0::/10"), prefixes("fc00::/7"), "fec0::/64"},
		{prefixes("fd00::/80"), nil, "fd00::/80"},
		{prefixes("fd00::/48"), prefixes("fc00::/7"), ""},
		{prefixes("ffff:ffff:ffff:ffff::/64"), prefixes("ffff:ffff:ffff:ffff::/64"), ""},
	} {
		got, err := Pick6(c.pool, c.taken)
		if (err == nil) != (c.want != "") || err == nil && got.String() != c.want {
			t.Errorf("of %v without %v: %v, %v; want %s", c.pool, c.taken, got, err, c.want)
		}
	}
	if got, err := Pick4(prefixes("10.89.0.0/16"), prefixes("10.89.0.0/23", "10.89.2.7/32"), 24); err != nil || got.String() != "10.89.3.0/24" {
		t.Errorf("of IPv4: %v, %v", got, err)
	}
}

func TestAGatewayIsNeverGivenBack(t *testing.T) {
	subnet, gateway := netip.MustParsePrefix("10.0.0.0/29"), netip.MustParseAddr("10.0.0.2")
	p := New(subnet, gateway)
	p.Give(gateway) // by who had that address before the network was made anew
	for {
		a, err := p.Take(netip.Addr{}, func(netip.Addr) bool { return false })
		if err != nil {
			return
		}
		if a == gateway {
			t.Fatal("the gateway's address is handed out")
		}
	}
}
