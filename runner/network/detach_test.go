package network

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orlop/orlop/keeper"
)

// routes are those of a sandbox, by the kernel's own word.
func routes(t *testing.T, s SandboxState) string {
	t.Helper()
	return run(t, "nsenter", "--net="+s.NetnsPath, "ip", "-4", "route")
}

// TestADetachedSandboxComesBackToItsPlace: a network is removed and made anew
// under a program that runs, which keeps its address and aliases and loses the
// way out that the network has no more.
func TestADetachedSandboxComesBackToItsPlace(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	cfg := testConfig(t, keeper.InProcess())
	m := openManager(t, cfg)
	subnet := netip.MustParsePrefix("10.97.5.0/24")
	ensure(t, m, Spec{Name: "front", Subnet: subnet})
	ensure(t, m, Spec{Name: "back"})
	create(t, m, "other", on("front"))
	spec := Sandbox{DNS: true, Endpoints: []Endpoint{{Network: "front", Aliases: []string{"web"}}, {Network: "back"}}}
	guest := create(t, m, "guest", spec)
	for _, id := range []string{"other", "guest"} {
		if err := m.SetNames(id, true); err != nil {
			t.Fatal(err)
		}
	}
	if got := routes(t, guest); !strings.Contains(got, "default via 10.97.5.1 dev eth0") {
		t.Fatalf("its routes are\n%s", got)
	}
	if err := m.RemoveNetwork(t.Context(), "front"); err == nil {
		t.Fatal("a network that is in use can be removed")
	}
	if err := m.RemoveSandbox(t.Context(), "other"); err != nil {
		t.Fatal(err)
	}
	if err := m.Detach(t.Context(), "guest", "front"); err != nil {
		t.Fatal(err)
	}
	if got := routes(t, guest); strings.Contains(got, "10.97.5.") || !strings.Contains(got, "default") || !strings.Contains(got, "dev eth1") {
		t.Errorf("detached, it has no way out by its other network:\n%s", got)
	}
	if got, _ := lookup(guest, "web"); len(got) != 0 {
		t.Errorf("a name leads to who is detached: %v", got)
	}
	if err := m.RemoveNetwork(t.Context(), "front"); err != nil {
		t.Fatal(err)
	}
	if got := m.Detached("front"); !slices.Equal(got, []string{"guest"}) {
		t.Errorf("detached are %v", got)
	}
	ensure(t, m, Spec{Name: "front", Subnet: subnet, Internal: true})
	first := create(t, m, "first", on("front")) // does not take the place
	if first.Addresses["front"] == guest.Addresses["front"] {
		t.Errorf("%s is given to another", first.Addresses["front"])
	}
	for range 2 { // the second time there is nothing to do
		if moved, err := m.Attach(t.Context(), "guest", "front"); err != nil || moved {
			t.Fatalf("moved: %t, %v", moved, err)
		}
	}
	now, _ := m.Sandbox("guest")
	if now.Addresses["front"] != guest.Addresses["front"] || len(m.Detached("front")) != 0 {
		t.Errorf("it is at %v now, and was at %v", now.Addresses, guest.Addresses)
	}
	if got := routes(t, guest); strings.Contains(got, "default via 10.97.5.1") || !strings.Contains(got, "dev eth0") {
		t.Errorf("its routes are\n%s", got)
	}
	at := now.Addresses["front"].Addr()
	if got, err := lookup(first, "web"); err != nil || !slices.Equal(got, []string{at.String()}) {
		t.Errorf("web is %v, %v", got, err)
	}
	serveHello(t, now.NetnsPath, hostPort(at, 80))
	if _, err := dialFrom(first.NetnsPath, hostPort(at, 80), 3*time.Second); err != nil {
		t.Error(err)
	}
	// Where the network has other addresses, so has it.
	if err := m.RemoveSandbox(t.Context(), "first"); err != nil {
		t.Fatal(err)
	}
	if err := m.Detach(t.Context(), "guest", "front"); err != nil {
		t.Fatal(err)
	}
	if err := m.RemoveNetwork(t.Context(), "front"); err != nil {
		t.Fatal(err)
	}
	other := ensure(t, m, Spec{Name: "front", Subnet: netip.MustParsePrefix("10.97.6.0/24")})
	if moved, err := m.Attach(t.Context(), "guest", "front"); err != nil || !moved {
		t.Fatalf("moved: %t, %v", moved, err)
	}
	if now, _ = m.Sandbox("guest"); !other.Subnet.Contains(now.Addresses["front"].Addr()) {
		t.Errorf("it is at %v", now.Addresses)
	}
	for _, id := range []string{"guest", "nobody"} {
		if err := m.Detach(t.Context(), id, "unknown"); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
}

// TestAnEngineThatEndsBetweenDetachingAndAttaching: the next one finds who waits
// for a network, with the network or without.
func TestAnEngineThatEndsBetweenDetachingAndAttaching(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	for _, back := range []bool{false, true} {
		cfg := testConfig(t, keeper.InProcess())
		m := openManager(t, cfg)
		ensure(t, m, Spec{Name: "front"})
		was := create(t, m, "guest", on("front"))
		if err := m.Detach(t.Context(), "guest", "front"); err != nil {
			t.Fatal(err)
		}
		if err := m.RemoveNetwork(t.Context(), "front"); err != nil {
			t.Fatal(err)
		}
		if back {
			ensure(t, m, Spec{Name: "front", Subnet: was.Addresses["front"].Masked()})
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		m = openManager(t, cfg)
		if !back {
			if got := m.Detached("front"); !slices.Equal(got, []string{"guest"}) {
				t.Fatalf("detached are %v", got)
			}
			ensure(t, m, Spec{Name: "front", Subnet: was.Addresses["front"].Masked()})
			if _, err := m.Attach(t.Context(), "guest", "front"); err != nil {
				t.Fatal(err)
			}
		}
		if now, ok := m.Sandbox("guest"); !ok || now.Addresses["front"] != was.Addresses["front"] {
			t.Errorf("with the network %t: it is at %v, and was at %v", back, now.Addresses, was.Addresses)
		}
		if err := m.RemoveSandbox(t.Context(), "guest"); err != nil {
			t.Error(err)
		}
		if err := m.RemoveNetwork(t.Context(), "front"); err != nil {
			t.Error(err)
		}
	}
}

// TestWhatCannotTakeItsPlaceIsKnownBefore: a network is not removed for one that
// can't be made.
func TestWhatCannotTakeItsPlaceIsKnownBefore(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	m := openManager(t, testConfig(t, keeper.InProcess()))
	front := ensure(t, m, Spec{Name: "front", Subnet: netip.MustParsePrefix("10.97.5.0/24")})
	back := ensure(t, m, Spec{Name: "back"})
	for _, subnet := range []netip.Prefix{front.Subnet, netip.MustParsePrefix("10.97.5.0/25"), netip.MustParsePrefix("10.97.4.0/23"), {}} {
		if err := m.CheckNetwork(Spec{Name: "front", Subnet: subnet}); err != nil {
			t.Errorf("%s: %v", subnet, err)
		}
	}
	for name, spec := range map[string]Spec{
		"another's subnet":       {Name: "front", Subnet: back.Subnet},
		"a gateway outside":      {Name: "front", Subnet: front.Subnet, Gateway: back.Gateway},
		"the same for a new one": {Name: "new", Subnet: front.Subnet},
	} {
		if m.CheckNetwork(spec) == nil {
			t.Errorf("%s: it could be made", name)
		}
	}
	if err := m.SetNames("nobody", true); !errors.Is(err, ErrNoSandbox) {
		t.Errorf("nobody's names: %v", err)
	}
}

// TestWhoWasNotBroughtBackIsOffItsNetwork: a plan that was cut off leaves a sandbox detached
// from a network that is there. That is seen though the kernel tells nothing of it; the guard
// leaves it to the plan that may still be at work, and the next one puts it right.
func TestWhoWasNotBroughtBackIsOffItsNetwork(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	m := openManager(t, testConfig(t, keeper.InProcess()))
	front := ensure(t, m, Spec{Name: "front"})
	guest := create(t, m, "guest", on("front"))
	ctx, cancel := context.WithCancel(t.Context())
	ended, repaired := make(chan error, 1), make(chan error, 100)
	go func() { ended <- m.Guard(ctx, func(err error) { repaired <- err }) }()
	<-repaired // it listens
	faults := func() []string {
		t.Helper()
		_, sandboxes, err := m.Faults(t.Context(), func(string) bool { return true })
		if err != nil {
			t.Fatal(err)
		}
		return sandboxes["guest"]
	}
	if err := m.Detach(t.Context(), "guest", "front"); err != nil {
		t.Fatal(err)
	}
	if err := m.RemoveNetwork(t.Context(), "front"); err != nil {
		t.Fatal(err)
	}
	if got := faults(); len(got) != 0 {
		t.Errorf("while its network is away it lacks %v", got)
	}
	ensure(t, m, Spec{Name: "front", Subnet: front.Subnet, Internal: true})
	for range 2 {
		if got := faults(); !slices.Equal(got, []string{"it is off network front"}) {
			t.Errorf("it lacks %v", got)
		}
		if err := m.Mend(t.Context()); err != nil { // as the guard does
			t.Fatal(err)
		}
	}
	if err := m.MendSandbox(t.Context(), "guest"); err != nil {
		t.Fatal(err)
	}
	if now, _ := m.Sandbox("guest"); now.Addresses["front"] != guest.Addresses["front"] {
		t.Errorf("it is at %v, and was at %v", now.Addresses, guest.Addresses)
	}
	if got := faults(); len(got) != 0 {
		t.Errorf("back, it lacks %v", got)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
