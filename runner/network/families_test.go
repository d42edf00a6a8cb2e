package network

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/orlop/orlop/keeper"
	"github.com/orlop/orlop/runner/network/netns"
)

// sixes is a network of both families, with a range of IPv6 of its own.
func sixes(name string) Spec {
	return Spec{Name: name, IPv6: true, Subnet6: netip.MustParsePrefix("fd00:1::/64")}
}

// ping waits longer than the kernel does before it asks for a neighbour once more.
func ping(path string, addr netip.Addr) error {
	return netns.In(path, func() error { return runs("busybox", "ping", "-c", "1", "-W", "3", addr.String()) })
}

// A link that its programs have without IPv6 has no address that somebody would give
// back: the kernel takes it as they switch it off.
func TestALinkWithoutIPv6HasNone(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	m := openManager(t, testConfig(t, keeper.InProcess()))
	ensure(t, m, sixes("both"))
	ensure(t, m, Spec{Name: "other", IPv6: true, Subnet6: netip.MustParsePrefix("fd00:2::/64")})
	spec := on("both", "other")
	spec.NoIPv6 = []string{"eth1"}
	a := create(t, m, "a", spec)
	if len(a.Of("both")) != 2 || len(a.Of("other")) != 1 {
		t.Errorf("a has %v and %v", a.Of("both"), a.Of("other"))
	}
	run(t, "nsenter", "--net="+a.NetnsPath, "sysctl", "-q", "-w", "net.ipv6.conf.eth1.disable_ipv6=1")
	if _, faults, err := m.Faults(t.Context(), func(string) bool { return true }); err != nil || len(faults) > 0 {
		t.Errorf("missed is %v, %v", faults, err)
	}
	if err := m.Mend(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(run(t, "nsenter", "--net="+a.NetnsPath, "sysctl", "-n", "net.ipv6.conf.eth1.disable_ipv6")); got != "1" {
		t.Errorf("it is switched on again: %s", got)
	}
	if err := m.Detach(t.Context(), "a", "other"); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Attach(t.Context(), "a", "other"); err != nil {
		t.Fatal(err)
	}
	if st, _ := m.Sandbox("a"); len(st.Of("other")) != 1 {
		t.Errorf("attached again it has %v", st.Of("other"))
	}
}

func TestSandboxesMeetByIPv6(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	cfg := testConfig(t, keeper.InProcess())
	cfg.OwnRange = cfg.StateDir + "/range"
	m := openManager(t, cfg)
	ensure(t, m, sixes("both"))
	own := ensure(t, m, Spec{Name: "six", NoIPv4: true, IPv6: true})
	if own.Subnet.IsValid() || own.Subnet6.Bits() != 64 || own.Subnets() != own.Subnet6.String() {
		t.Errorf("a network of IPv6 alone is %+v", own)
	}
	a := create(t, m, "a", on("both"))
	spec := on("both", "six")
	spec.Names = []string{"web"}
	b := create(t, m, "b", spec)
	c := create(t, m, "c", on("six"))
	if len(a.Of("both")) != 2 || len(c.Of("six")) != 1 || len(c.Addresses) != 0 {
		t.Errorf("a has %v, c has %v", a.Of("both"), c.Of("six"))
	}
	for path, addr := range map[string]netip.Addr{a.NetnsPath: b.Addresses6["both"].Addr(), c.NetnsPath: b.Addresses6["six"].Addr(), "/proc/self/ns/net": c.Addresses6["six"].Addr()} {
		if err := ping(path, addr); err != nil {
			t.Errorf("%s does not reach %s: %v", path, addr, err)
		}
	}
	if err := ping(c.NetnsPath, a.Addresses6["both"].Addr()); err == nil {
		t.Error("networks reach each other")
	}
	want := []string{b.Addresses["both"].Addr().String(), b.Addresses6["both"].Addr().String()}
	if ips, err := lookup(a, "web"); err != nil || !slices.Equal(slices.Sorted(slices.Values(ips)), slices.Sorted(slices.Values(want))) {
		t.Errorf("web resolves to %v, %v; want %v", ips, err, want)
	}
	if ips, err := lookup(c, "web"); err != nil || !slices.Equal(ips, []string{b.Addresses6["six"].Addr().String()}) {
		t.Errorf("on the network of IPv6 web resolves to %v, %v", ips, err)
	}
}

// TestIPv6IsAdopted: the next manager finds addresses, and what was taken of them is put
// back.
func TestIPv6IsAdopted(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	held := keeper.InProcess()
	cfg := testConfig(t, held)
	m := openManager(t, cfg)
	n := ensure(t, m, sixes("both"))
	a := create(t, m, "a", on("both"))
	b := create(t, m, "b", on("both"))
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	run(t, "ip", "-6", "addr", "flush", "dev", n.Bridge)
	m = openManager(t, cfg)
	if err := ping("/proc/self/ns/net", a.Addresses6["both"].Addr()); err != nil {
		t.Errorf("after the bridge has lost its addresses: %v", err)
	}
	if got, ok := m.Sandbox("b"); !ok || got.Addresses6["both"] != b.Addresses6["both"] {
		t.Errorf("b is %+v", got)
	}
	c := create(t, m, "c", on("both"))
	if used := c.Addresses6["both"]; used == a.Addresses6["both"] || used == b.Addresses6["both"] {
		t.Errorf("the next one has %s, as another has", used)
	}
	run(t, "nsenter", "--net="+a.NetnsPath, "ip", "-6", "addr", "flush", "dev", "eth0")
	run(t, "ip", "-6", "route", "del", n.Subnet6.String())
	if err := m.Mend(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := ping(a.NetnsPath, b.Addresses6["both"].Addr()); err != nil {
		t.Errorf("after its addresses were taken: %v", err)
	}
	if out := run(t, "nsenter", "--net="+a.NetnsPath, "ip", "-6", "route"); !strings.Contains(out, "default via fd00:1::1") {
		t.Errorf("its routes are %s", out)
	}
}

// TestAddressesOfIPv6AreHandedOver: neighbours who know the old one's place find the
// new one.
func TestAddressesOfIPv6AreHandedOver(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	m := openManager(t, testConfig(t, keeper.InProcess()))
	ensure(t, m, sixes("both"))
	a, b, c := create(t, m, "a", on("both")), create(t, m, "b", on("both")), create(t, m, "c", on("both"))
	addr := a.Addresses6["both"].Addr()
	if err := ping(c.NetnsPath, addr); err != nil {
		t.Fatal(err)
	}
	if err := m.Exchange(t.Context(), "a", "b"); err != nil {
		t.Fatal(err)
	}
	if got, _ := m.Sandbox("b"); got.Addresses6["both"].Addr() != addr {
		t.Errorf("b has %v, want %s", got.Of("both"), addr)
	}
	if err := m.RemoveSandbox(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if err := ping(c.NetnsPath, addr); err != nil {
		t.Errorf("the new one is not found at %s: %v", addr, err)
	}
	if out := run(t, "nsenter", "--net="+b.NetnsPath, "ip", "-6", "route"); strings.Count(out, "default via") != 1 {
		t.Errorf("its routes are %s", out)
	}
}

// TestANetworkThatGetsIPv6: who was on it before has an address when he comes back, and
// none any more when it has lost it; his address of IPv4 stays.
func TestANetworkThatGetsIPv6(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	m := openManager(t, testConfig(t, keeper.InProcess()))
	n := ensure(t, m, Spec{Name: "net"})
	was := create(t, m, "a", on("net"))
	remake := func(spec Spec) (SandboxState, bool) {
		t.Helper()
		if err := m.Detach(t.Context(), "a", "net"); err != nil {
			t.Fatal(err)
		}
		if err := m.RemoveNetwork(t.Context(), "net"); err != nil {
			t.Fatal(err)
		}
		ensure(t, m, spec)
		moved, err := m.Attach(t.Context(), "a", "net")
		if err != nil {
			t.Fatal(err)
		}
		st, _ := m.Sandbox("a")
		return st, moved
	}
	with := sixes("net")
	with.Subnet = n.Subnet
	st, moved := remake(with)
	if !moved || st.Addresses["net"] != was.Addresses["net"] || !st.Addresses6["net"].IsValid() {
		t.Errorf("with IPv6 it has %v, moved %t", st.Of("net"), moved)
	}
	if err := ping("/proc/self/ns/net", st.Addresses6["net"].Addr()); err != nil {
		t.Error(err)
	}
	if out := run(t, "nsenter", "--net="+st.NetnsPath, "ip", "-6", "route"); !strings.Contains(out, "default via fd00:1::1") {
		t.Errorf("its routes are %s", out)
	}
	st, moved = remake(Spec{Name: "net", Subnet: n.Subnet})
	if !moved || st.Addresses["net"] != was.Addresses["net"] || len(st.Of("net")) != 1 {
		t.Errorf("without it it has %v, moved %t", st.Of("net"), moved)
	}
	if st, moved = remake(Spec{Name: "net", Subnet: n.Subnet}); moved || st.Addresses["net"] != was.Addresses["net"] {
		t.Errorf("as it was it has %v, moved %t", st.Of("net"), moved)
	}
}

// TestAMachineGoesOnListeningToItsRouters, though it forwards, and all is as it was
// after the last network.
func TestAMachineGoesOnListeningToItsRouters(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	const forwarding, accept = "/proc/sys/net/ipv6/conf/all/forwarding", "/proc/sys/net/ipv6/conf/up0/accept_ra"
	neighbour(t)
	cfg := testConfig(t, keeper.InProcess())
	before := snapshot(t, cfg.StateDir)
	m := openManager(t, cfg)
	read := func(path string) string { return strings.TrimSpace(run(t, "cat", path)) }
	ensure(t, m, Spec{Name: "old"})
	if read(forwarding)+read(accept) != "01" {
		t.Errorf("for IPv4 alone: forwarding %s, accept_ra %s", read(forwarding), read(accept))
	}
	ensure(t, m, sixes("six"))
	if read(forwarding)+read(accept) != "12" {
		t.Errorf("with IPv6: forwarding %s, accept_ra %s", read(forwarding), read(accept))
	}
	for _, name := range []string{"six", "old"} {
		if err := m.RemoveNetwork(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	if read(forwarding)+read(accept) != "01" {
		t.Errorf("afterwards: forwarding %s, accept_ra %s", read(forwarding), read(accept))
	}
	if after := snapshot(t, cfg.StateDir); after != before {
		t.Errorf("left is\n%s\nbefore\n%s", after, before)
	}
	// Who forwards already is left alone.
	if err := os.WriteFile(forwarding, []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	ensure(t, m, sixes("six"))
	if read(accept) != "1" {
		t.Errorf("accept_ra of a router is made %s", read(accept))
	}
	if err := m.RemoveNetwork(t.Context(), "six"); err != nil || read(forwarding) != "1" {
		t.Errorf("a router forwards no more: %v", err)
	}
}

func TestWhatNetworkOfIPv6CanNotBeIsSaid(t *testing.T) {
	prefix, addr := netip.MustParsePrefix, netip.MustParseAddr
	for name, c := range map[string]struct {
		want wanted
		text string // "": it can
	}{
		"a subnet":                {wanted{addressRange{Subnet: prefix("fd00::/64")}, netip.Prefix{}, true}, ""},
		"the least":               {wanted{addressRange{Subnet: prefix("fd00::/126")}, netip.Prefix{}, true}, ""},
		"too little":              {wanted{addressRange{Subnet: prefix("fd00::/127")}, netip.Prefix{}, true}, "no room"},
		"a gateway elsewhere":     {wanted{addressRange{prefix("fd00::/64"), addr("fd01::1")}, netip.Prefix{}, true}, "not in subnet"},
		"a range elsewhere":       {wanted{addressRange{Subnet: prefix("fd00::/64")}, prefix("fd01::/80"), true}, "not inside"},
		"one of another family":   {wanted{addressRange{Subnet: prefix("10.0.0.0/24")}, netip.Prefix{}, true}, "other family"},
		"where there is no IPv6":  {wanted{addressRange{Subnet: prefix("fd00::/64")}, netip.Prefix{}, false}, "has none of"},
		"a gateway without range": {wanted{addressRange{Gateway: addr("fd00::1")}, netip.Prefix{}, true}, "needs a subnet"},
	} {
		if err := c.want.check(true); (err == nil) != (c.text == "") || err != nil && !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
