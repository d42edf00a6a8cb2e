package network

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/orlop/orlop/keeper"
	"github.com/orlop/orlop/runner/network/kernel"
	"github.com/orlop/orlop/runner/network/links"
)

func TestVLANsByTheirNames(t *testing.T) {
	for name, want := range map[string]int{"eth0.10": 10, "bond0.4094": 4094, "eth0.4095": 0, "eth0.0": 0, "eth0": 0, ".10": 0, "eth0.x": 0, "eth0.1.2": 2} {
		base, id, ok := links.VLANOf(name)
		if ok != (want != 0) || ok && (id != want || base+"." != name[:len(base)+1]) {
			t.Errorf("%s is VLAN %d of %q, %t", name, id, base, ok)
		}
	}
}

// lan is a network outside, by a link of the machine.
func lan(name, parent string) Spec {
	return Spec{
		Name: name, Subnet: netip.MustParsePrefix("198.51.100.0/24"), Gateway: netip.MustParseAddr("198.51.100.2"), Range: netip.MustParsePrefix("198.51.100.128/25"),
		Options: Options{Driver: Macvlan, Parent: parent},
	}
}

func TestSandboxesBesideTheMachine(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	outside := neighbour(t)
	held := keeper.InProcess()
	cfg := testConfig(t, held)
	before := snapshot(t, cfg.StateDir)
	m := openManager(t, cfg)
	ensure(t, m, lan("lan", "up0"))
	a, b := create(t, m, "a", on("lan")), create(t, m, "b", on("lan"))
	if !a.Outside["lan"] {
		t.Errorf("a is %+v", a)
	}
	addr := a.Addresses["lan"].Addr()
	reached := func(from string, want bool) {
		t.Helper()
		if err := ping(from, addr); (err == nil) != want {
			t.Errorf("%s reaches %s: %v, want %t", from, addr, err, want)
		}
	}
	reached(outside, true)
	reached(b.NetnsPath, true)
	reached("/proc/self/ns/net", false)
	// The next manager has it, and makes the link again that somebody has taken.
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	run(t, "nsenter", "--net="+a.NetnsPath, "ip", "link", "del", "eth0")
	m = openManager(t, cfg)
	reached(outside, true)
	run(t, "nsenter", "--net="+a.NetnsPath, "ip", "link", "del", "eth0")
	if networks, sandboxes, err := m.Faults(t.Context(), func(string) bool { return true }); err != nil || len(networks) != 0 || len(sandboxes["a"]) != 1 {
		t.Errorf("faults are %v, %v, %v", networks, sandboxes, err)
	}
	if err := m.Mend(t.Context()); err != nil {
		t.Fatal(err)
	}
	reached(outside, true)
	// Nobody's addresses are exchanged here, and no error.
	if err := m.Exchange(t.Context(), "a", "b"); err != nil {
		t.Error(err)
	}
	if st, _ := m.Sandbox("a"); st.Addresses["lan"] != a.Addresses["lan"] {
		t.Errorf("a has %v", st.Of("lan"))
	}
	if err := m.Detach(t.Context(), "a", "lan"); err != nil {
		t.Fatal(err)
	}
	reached(outside, false)
	if moved, err := m.Attach(t.Context(), "a", "lan"); err != nil || moved {
		t.Errorf("moved %t, %v", moved, err)
	}
	reached(outside, true)
	for _, id := range []string{"a", "b"} {
		if err := m.RemoveSandbox(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.RemoveNetwork(t.Context(), "lan"); err != nil {
		t.Fatal(err)
	}
	if after := snapshot(t, cfg.StateDir); after != before {
		t.Errorf("left is\n%s\nbefore\n%s", after, before)
	}
}

func TestParentsThatNoNetworkCanHave(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	neighbour(t)
	run(t, "ip", "link", "add", "br0", "type", "bridge")
	run(t, "ip", "link", "add", "port0", "type", "veth", "peer", "name", "port1")
	run(t, "ip", "link", "set", "port0", "master", "br0")
	m := openManager(t, testConfig(t, keeper.InProcess()))
	ensure(t, m, lan("lan", "up0"))
	snap := snapshot(t, m.cfg.StateDir)
	for parent, want := range map[string]string{
		"up0": "network lan has it as its parent", "eth9": "no link of that name", "eth9.10": "no link of that name", "lo": "leads nowhere", "port0": "part of a bridge",
	} {
		_, err := m.EnsureNetwork(t.Context(), lan("other", parent))
		if bad, ok := errors.AsType[*ParentError](err); !ok || bad.Parent != parent || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", parent, err)
		}
		if m.CheckNetwork(lan("other", parent)) == nil {
			t.Errorf("%s: it could be made", parent)
		}
	}
	// IPvlan excludes macvlan on one parent, where a kernel has it at all; so it is for VLANs.
	for parent, spec := range map[string]Spec{"port1": {Name: "ip", Options: Options{Driver: IPvlan, Parent: "port1"}}, "port1.7": lan("vlan", "port1.7")} {
		_, err := m.EnsureNetwork(t.Context(), spec)
		if bad, ok := errors.AsType[*ParentError](err); err != nil && (!ok || bad.Parent != parent || !strings.Contains(err.Error(), "this kernel has no")) {
			t.Errorf("%s: %v", parent, err)
		}
		if err := m.RemoveNetwork(t.Context(), spec.Name); err != nil {
			t.Error(err)
		}
	}
	if after := snapshot(t, m.cfg.StateDir); after != snap {
		t.Errorf("left is\n%s\nbefore\n%s", after, snap)
	}
}

// Adoption while the parent of a network is away takes nothing else of a sandbox, and
// the guard brings its link back with the parent.
//
// Fault 44: the engine starts while a link of the machine is away that a macvlan network is on
// Seen: a warning that names the link; the containers go on, without that network as long as it is away
// Kept: the container's other networks and their addresses, and its name server; the link comes back by itself
func TestASandboxIsKeptWhileAParentIsAway(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	neighbour(t)
	cfg := testConfig(t, keeper.InProcess())
	m := openManager(t, cfg)
	ensure(t, m, lan("lan", "up0"))
	ensure(t, m, Spec{Name: "default"})
	a := create(t, m, "a", on("lan", "default"))
	b := create(t, m, "b", on("default"))
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	run(t, "ip", "link", "del", "up0")
	m = openManager(t, cfg)
	if st, ok := m.Sandbox("a"); !ok || st.Addresses["default"] != a.Addresses["default"] || st.Addresses["lan"] != a.Addresses["lan"] {
		t.Fatalf("a is %+v, %t", st, ok)
	}
	if err := ping(b.NetnsPath, a.Addresses["default"].Addr()); err != nil {
		t.Errorf("its other network: %v", err)
	}
	if got, err := lookup(a, "b"); err != nil || len(got) != 1 {
		t.Errorf("its name server says %v, %v", got, err)
	}
	if bad, ok := errors.AsType[*ParentError](m.Mend(t.Context())); !ok || bad.Parent != "up0" {
		t.Errorf("mended without a parent: %v", bad)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended, repaired := make(chan error, 1), make(chan error, 100)
	go func() { ended <- m.Guard(ctx, func(err error) { repaired <- err }) }()
	if err := <-repaired; err == nil {
		t.Error("the guard takes a network without its parent for mended")
	}
	run(t, "ip", "link", "add", "up0", "type", "veth", "peer", "name", "lan0", "netns", "lan")
	run(t, "ip", "-n", "lan", "addr", "add", "198.51.100.2/24", "dev", "lan0")
	run(t, "ip", "-n", "lan", "link", "set", "lan0", "up")
	run(t, "ip", "link", "set", "up0", "up")
	for mended := false; !mended; {
		select {
		case err := <-repaired:
			mended = err == nil
		case <-time.After(soon):
			t.Fatal("nobody brings it back")
		}
	}
	if err := ping("/run/netns/lan", a.Addresses["lan"].Addr()); err != nil {
		t.Errorf("with its parent again: %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// What a VLAN of ours is made on is of interest as long as it is away, as its parent is.
func TestTheGuardWaitsForTheLinkUnderAVLAN(t *testing.T) {
	m := &Manager{networks: map[string]*network{"lan": newNetwork(Network{Name: "lan", MadeParent: true, Options: Options{Driver: Macvlan, Parent: "eth7.10"}})}}
	for link, want := range map[string]bool{"eth7.10": true, "eth7": true, "eth8": false} {
		if got := m.interest().Link(kernel.Here, link); got != want {
			t.Errorf("%s is of interest: %t", link, got)
		}
	}
}
