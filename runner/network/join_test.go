package network

import (
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/orlop/orlop/keeper"
)

// TestASandboxJoinsAndLeavesNetworksWhileItRuns, and the next engine knows of it.
func TestASandboxJoinsAndLeavesNetworksWhileItRuns(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	cfg := testConfig(t, keeper.InProcess())
	m := openManager(t, cfg)
	ensure(t, m, Spec{Name: "front", Subnet: netip.MustParsePrefix("10.97.5.0/24")})
	ensure(t, m, Spec{Name: "back", Subnet: netip.MustParsePrefix("10.97.6.0/24")})
	create(t, m, "other", Sandbox{DNS: true, Names: []string{"other"}, Endpoints: []Endpoint{{Network: "back"}}})
	guest := create(t, m, "guest", Sandbox{DNS: true, Names: []string{"guest"}, Endpoints: []Endpoint{{Network: "front"}}})
	for _, id := range []string{"other", "guest"} {
		if err := m.SetNames(id, true); err != nil {
			t.Fatal(err)
		}
	}
	if got, _ := lookup(guest, "other"); len(got) != 0 {
		t.Fatalf("a name of another network leads to %v", got)
	}
	want := netip.MustParseAddr("10.97.6.77")
	if err := m.Join(t.Context(), "guest", Endpoint{Network: "back", Aliases: []string{"visitor"}, IPv4: want}); err != nil {
		t.Fatal(err)
	}
	if got := run(t, "nsenter", "--net="+guest.NetnsPath, "ip", "-4", "-o", "addr", "show", "dev", "eth1"); !strings.Contains(got, "10.97.6.77/24") {
		t.Errorf("its link has\n%s", got)
	}
	if got := routes(t, guest); !strings.Contains(got, "default via 10.97.5.1 dev eth0") {
		t.Errorf("its way out is another:\n%s", got)
	}
	other, _ := m.Sandbox("other")
	if got, _ := lookup(other, "visitor"); len(got) != 1 || got[0] != want.String() {
		t.Errorf("its alias leads to %v", got)
	}
	if got, _ := lookup(guest, "other"); len(got) != 1 || got[0] != other.Addresses["back"].Addr().String() {
		t.Errorf("a name of the network that it has joined leads it to %v", got)
	}
	for what, err := range map[string]error{
		"a network that it is on":     m.Join(t.Context(), "guest", Endpoint{Network: "back"}),
		"a network that is not there": m.Join(t.Context(), "guest", Endpoint{Network: "nosuch"}),
		"an address that another has": m.Join(t.Context(), "other", Endpoint{Network: "front", IPv4: guest.Addresses["front"].Addr()}),
		"leaving one it is not on":    m.Leave(t.Context(), "other", "front"),
		"a sandbox that is not there": m.Join(t.Context(), "nobody", Endpoint{Network: "back"}),
	} {
		if err == nil {
			t.Errorf("%s is no error", what)
		}
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m = openManager(t, cfg)
	if state, _ := m.Sandbox("guest"); len(state.Of("back")) != 1 || len(state.Of("front")) != 1 {
		t.Errorf("the next engine knows it on %v", state.Addresses)
	}
	if err := m.Leave(t.Context(), "guest", "front"); err != nil {
		t.Fatal(err)
	}
	if got := routes(t, guest); strings.Contains(got, "10.97.5.") || !strings.Contains(got, "default via 10.97.6.1 dev eth1") {
		t.Errorf("off its first network its routes are\n%s", got)
	}
	if err := m.RemoveNetwork(t.Context(), "front"); err != nil {
		t.Errorf("a network that it has left: %v", err)
	}
	if faults, _, err := m.Faults(t.Context(), func(string) bool { return true }); err != nil || len(faults) > 0 {
		t.Errorf("something is missing: %v, %v", faults, err)
	}
	if err := m.RemoveSandbox(t.Context(), "guest"); err != nil {
		t.Fatal(err)
	}
	if err := m.Join(t.Context(), "other", Endpoint{Network: "back", IPv4: want}); err == nil {
		t.Error("it joins a network twice")
	}
}

// TestWhatIsMendedMayHaveLeftMeanwhile: what is found of an endpoint is put right by its
// network, whatever number it has by then.
func TestWhatIsMendedMayHaveLeftMeanwhile(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	m := openManager(t, testConfig(t, keeper.InProcess()))
	for _, name := range []string{"a", "b", "c"} {
		ensure(t, m, Spec{Name: name, Internal: true})
	}
	guest := create(t, m, "guest", on("a", "b", "c"))
	for _, e := range m.sandboxes["guest"].Endpoints[1:] {
		run(t, "ip", "link", "del", e.Link)
	}
	m.netMu.Lock()
	found, err := m.faults(func(string) bool { return true })
	m.netMu.Unlock()
	if err != nil || len(found) != 2 {
		t.Fatalf("%d faults, %v", len(found), err)
	}
	for _, name := range []string{"a", "b"} {
		if err := m.Leave(t.Context(), "guest", name); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range found {
		if err := f.mend(); err != nil {
			t.Errorf("%s: %v", f.text, err)
		}
	}
	want := guest.Addresses["c"].String()
	if got := run(t, "nsenter", "--net="+guest.NetnsPath, "ip", "-4", "-o", "addr", "show", "dev", "eth2"); !strings.Contains(got, want) {
		t.Errorf("its link to the network that it has not left has\n%s", got)
	}
}

// TestNobodyIsEnlargedUnderTheGuard: a sandbox that is looked at keeps its endpoints until
// the look is over.
func TestNobodyIsEnlargedUnderTheGuard(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	m := openManager(t, testConfig(t, keeper.InProcess()))
	ensure(t, m, Spec{Name: "front"})
	ensure(t, m, Spec{Name: "back"})
	create(t, m, "guest", on("front"))
	s, joined := m.sandboxes["guest"], make(chan error)
	m.atRest(s, func() {
		go func() { joined <- m.Join(t.Context(), "guest", Endpoint{Network: "back"}) }()
		for isBusy := false; !isBusy; runtime.Gosched() {
			m.mu.Lock()
			isBusy = s.busy
			m.mu.Unlock()
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		if len(s.Endpoints) != 1 || len(s.Spec.Endpoints) != 1 {
			t.Errorf("while it is looked at, it has got %d endpoints", len(s.Endpoints))
		}
	})
	if err := <-joined; err != nil {
		t.Fatal(err)
	}
	if state, _ := m.Sandbox("guest"); len(state.Of("back")) != 1 {
		t.Errorf("it is on %v", state.Addresses)
	}
}

// TestARecordIsWrittenWhileEndpointsChange: the race detector sees who reads what another
// writes.
func TestARecordIsWrittenWhileEndpointsChange(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	m := openManager(t, testConfig(t, keeper.InProcess()))
	ensure(t, m, Spec{Name: "front"})
	ensure(t, m, Spec{Name: "back"})
	create(t, m, "guest", on("front"))
	m.sandboxes["guest"].Endpoints[0].Inside = "" // as engines before made it
	var others sync.WaitGroup
	stop := make(chan struct{})
	others.Go(func() {
		for active := true; ; active = !active {
			select {
			case <-stop:
				return
			default:
			}
			if err := m.SetNames("guest", active); err != nil {
				t.Error(err)
			}
		}
	})
	for range 5 {
		if err := m.Join(t.Context(), "guest", Endpoint{Network: "back"}); err != nil {
			t.Fatal(err)
		}
		if err := m.Detach(t.Context(), "guest", "front"); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Attach(t.Context(), "guest", "front"); err != nil {
			t.Fatal(err)
		}
		if err := m.Leave(t.Context(), "guest", "back"); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	others.Wait()
}
