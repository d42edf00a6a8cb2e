package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/keeper"
	"github.com/orlop/orlop/runner/network/kernel"
	"github.com/orlop/orlop/runner/network/links"
	"github.com/orlop/orlop/runner/network/netns"
)

// damages are what others do to a network, by kind; BRIDGE, LINK, SUBNET and NETNS
// are filled in.
func damages() map[string]string {
	const inside = "nsenter --net=NETNS "
	return map[string]string{
		"the bridge is deleted":                "ip link del BRIDGE",
		"the bridge is set down":               "ip link set BRIDGE down",
		"the bridge's address is flushed":      "ip addr flush dev BRIDGE",
		"the route to it is deleted":           "ip route del SUBNET dev BRIDGE",
		"the table is deleted":                 "nft delete table inet orlop_t1",
		"the table is flushed":                 "nft flush table inet orlop_t1",
		"a chain is flushed":                   "nft flush chain inet orlop_t1 postrouting",
		"a set is emptied":                     "nft flush set inet orlop_t1 subnets",
		"the link is deleted":                  "ip link del LINK",
		"the link is set down":                 "ip link set LINK down",
		"the link is taken off the bridge":     "ip link set LINK nomaster",
		"the namespace is unmounted":           "umount NETNS",
		"its owner is unmounted":               "umount NETNS.users",
		"the link inside is set down":          inside + "ip link set eth0 down",
		"the address inside is flushed":        inside + "ip addr flush dev eth0",
		"the default route inside is deleted":  inside + "ip route del default",
		"the way to the name server is gone":   inside + "nft flush ruleset",
		"the rules for the name server's gone": inside + "nft flush table ip orlop_dns",
	}
}

// What others change of a network is put right as soon as the kernel tells of it.
//
// Fault 44: a bridge set down, an address or a route flushed, a table or chain flushed, a link or a mount of a namespace removed, also inside of a container's namespace
// Seen: nothing, but a line in the engine's log for each
// Kept: containers reach the outside, each other and their name server
func TestWhatOthersTakeOfANetworkComesBack(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	neighbour(t)
	serveHello(t, "/run/netns/lan", ":80")
	cfg := testConfig(t, keeper.InProcess())
	m := openManager(t, cfg)
	n := ensure(t, m, Spec{Name: "default"})
	mapped := on("default")
	mapped.Users = &netns.Users{UID: 100000, GID: 100000, Size: 65536}
	a := create(t, m, "a", mapped)
	b := create(t, m, "b", on("default"))
	serveHello(t, b.NetnsPath, ":80")
	ctx, cancel := context.WithCancel(t.Context())
	ended, repaired := make(chan error, 1), make(chan error, 100)
	go func() { ended <- m.Guard(ctx, func(err error) { repaired <- err }) }()
	<-repaired // it listens
	for kind, command := range damages() {
		words := strings.NewReplacer("BRIDGE", n.Bridge, "LINK", m.sandboxes["a"].Endpoints[0].Link, "SUBNET", n.Subnet.String(), "NETNS", a.NetnsPath).Replace(command)
		argv := strings.Fields(words)
		run(t, argv[0], argv[1:]...)
		for mended := false; !mended; {
			select {
			case err := <-repaired:
				if err != nil {
					t.Errorf("%s: %v", kind, err)
				}
				networks, sandboxes, err := m.Faults(t.Context(), func(string) bool { return true })
				mended = err == nil && len(networks)+len(sandboxes) == 0
			case <-time.After(soon):
				t.Fatalf("%s: nobody repairs it", kind)
			}
		}
		if !netns.IsPinned(a.NetnsPath) {
			t.Errorf("%s: the namespace is not mounted", kind)
			continue
		}
		if _, err := dialFrom(a.NetnsPath, "198.51.100.2:80", soon); err != nil {
			t.Errorf("%s: no way out: %v", kind, err)
		}
		if _, err := dialFrom(a.NetnsPath, hostPort(b.Addresses["default"].Addr(), 80), soon); err != nil {
			t.Errorf("%s: the other sandbox is out of reach: %v", kind, err)
		}
		if got, err := lookup(a, "b"); err != nil || len(got) != 1 {
			t.Errorf("%s: the other's name is %v, %v", kind, got, err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A container that may change its network has it as it wants it: a VPN takes the
// default route away.
func TestWhatAProgramMayChangeStaysChanged(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	m := openManager(t, testConfig(t, keeper.InProcess()))
	ensure(t, m, Spec{Name: "default"})
	spec := on("default")
	spec.OwnNetwork = true
	vpn := create(t, m, "vpn", spec)
	run(t, "nsenter", "--net="+vpn.NetnsPath, "ip", "route", "del", "default")
	run(t, "nsenter", "--net="+vpn.NetnsPath, "nft", "flush", "ruleset")
	if err := m.Mend(t.Context()); err != nil {
		t.Fatal(err)
	}
	if routes := run(t, "nsenter", "--net="+vpn.NetnsPath, "ip", "route"); strings.Contains(routes, "default") {
		t.Errorf("its routes are\n%s", routes)
	}
	if rules := run(t, "nsenter", "--net="+vpn.NetnsPath, "nft", "list", "ruleset"); strings.Contains(rules, "dnat") {
		t.Errorf("its rules are\n%s", rules)
	}
}

// One that joins the namespace later may change it too; what is lost of the host's side is
// mended, and the way out that the programs have taken away stays away.
func TestWhoJoinsMayChangeTheNetwork(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	m := openManager(t, testConfig(t, keeper.InProcess()))
	ensure(t, m, Spec{Name: "default"})
	a, other := create(t, m, "a", on("default")), create(t, m, "other", on("default"))
	m.LeaveAlone("")
	m.LeaveAlone(a.NetnsPath)
	for _, s := range []SandboxState{a, other} {
		run(t, "nsenter", "--net="+s.NetnsPath, "ip", "route", "del", "default")
	}
	look := func(when string, wantOther bool) {
		t.Helper()
		for s, want := range map[*SandboxState]bool{&a: false, &other: wantOther} {
			if routes := run(t, "nsenter", "--net="+s.NetnsPath, "ip", "route"); strings.Contains(routes, "default") != want {
				t.Errorf("%s: the routes of %s are\n%s", when, s.ID, routes)
			}
		}
	}
	if err := m.MendSandbox(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	look("mended alone", false)
	if err := m.Mend(t.Context()); err != nil {
		t.Fatal(err)
	}
	look("mended", true)
	m.mu.Lock()
	link := m.sandboxes["a"].Endpoints[0].Link
	m.mu.Unlock()
	run(t, "ip", "link", "del", link)
	if err := m.MendSandbox(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if got := run(t, "nsenter", "--net="+a.NetnsPath, "ip", "addr", "show", "eth0"); !strings.Contains(got, a.Addresses["default"].String()) {
		t.Errorf("its link is not there again:\n%s", got)
	}
	look("its link is made again", true)
}

// What the manager does itself wakes the guard a few times, not with each sandbox: a
// look at everything takes as long as some sandboxes.
func TestTheGuardSleepsWhileSandboxesComeAndGo(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	m := openManager(t, testConfig(t, keeper.InProcess()))
	ensure(t, m, Spec{Name: "default"})
	ctx, cancel := context.WithCancel(t.Context())
	ended, woken, begun := make(chan error, 1), 0, make(chan struct{}, 1000)
	go func() { ended <- m.Guard(ctx, func(error) { begun <- struct{}{} }) }()
	<-begun // it listens
	for i := range 40 {
		id := fmt.Sprint("s", i)
		create(t, m, id, on("default"))
		if err := m.RemoveSandbox(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for len(begun) > 0 {
		<-begun
		woken++
	}
	t.Logf("woken %d times", woken)
	if woken > 10 { // a busy kernel tells of some when they are ready
		t.Errorf("it was woken %d times by 40 sandboxes", woken)
	}
}

// A sandbox of an engine that kept no word of who may change what is inside is left
// alone: it may be a VPN's.
func TestWhatAnOlderEngineMadeIsLeftAloneInside(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	m := openManager(t, testConfig(t, keeper.InProcess()))
	ensure(t, m, Spec{Name: "default"})
	old := create(t, m, "old", on("default"))
	m.mu.Lock()
	m.sandboxes["old"].Guarded = false
	m.mu.Unlock()
	run(t, "nsenter", "--net="+old.NetnsPath, "ip", "route", "del", "default")
	if err := m.Mend(t.Context()); err != nil {
		t.Fatal(err)
	}
	if routes := run(t, "nsenter", "--net="+old.NetnsPath, "ip", "route"); strings.Contains(routes, "default") {
		t.Errorf("its routes are\n%s", routes)
	}
}

// Once LeaveAlone has returned nothing is put back: neither what a mend had in hand then, nor
// in a sandbox that was just being changed.
func TestNothingIsPutBackOnceASandboxIsLeftAlone(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	cfg, said := testConfig(t, keeper.InProcess()), make(lines, 1000)
	cfg.Log = slog.New(slog.NewTextHandler(said, nil))
	m := openManager(t, cfg)
	var all []Endpoint // the way out is put back last
	for _, name := range []string{"a", "b", "c", "d", "out"} {
		ensure(t, m, Spec{Name: name, Internal: name != "out"})
		all = append(all, Endpoint{Network: name})
	}
	for round := range 40 {
		id := fmt.Sprint("s", round)
		s := create(t, m, id, Sandbox{Endpoints: all})
		way := wayOut(t, s.NetnsPath)
		way.drop(t)
		for len(said) > 0 { // of the rounds before
			<-said
		}
		mended := make(chan error, 1)
		go func() { mended <- m.Mend(t.Context()) }()
		if round%2 == 0 {
			for line := ""; !strings.Contains(line, "it is being put right"); {
				line = <-said // then it is about to
			}
			for range round * 10 { // then, or a moment later
				runtime.Gosched()
			}
		}
		m.LeaveAlone(s.NetnsPath)
		way.drop(t)
		if err := <-mended; err != nil {
			t.Fatal(err)
		}
		if way.isThere(t) {
			t.Errorf("%s has a way out again", id)
		}
		if err := m.RemoveSandbox(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	a := create(t, m, "a", Sandbox{Endpoints: all})
	changed, _, err := m.occupy("a", "out")
	if err != nil {
		t.Fatal(err)
	}
	m.LeaveAlone(a.NetnsPath)
	m.vacate(changed)
	if !m.isLeftAlone(changed) {
		t.Error("it was being changed, and is put right from then on")
	}
}

// lines are those of a log.
type lines chan string

func (l lines) Write(line []byte) (int, error) {
	l <- string(line)
	return len(line), nil
}

// way is the default route of a namespace.
type way struct{ *netlink.Handle }

func wayOut(t *testing.T, path string) way {
	t.Helper()
	var w way
	err := netns.In(path, func() (err error) {
		w.Handle, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

func (w way) drop(t *testing.T) {
	t.Helper()
	_, everywhere, _ := net.ParseCIDR("0.0.0.0/0")
	if err := w.RouteDel(&netlink.Route{Dst: everywhere}); err != nil && !errors.Is(err, unix.ESRCH) {
		t.Fatal(err)
	}
}

func (w way) isThere(t *testing.T) bool {
	t.Helper()
	here, err := links.At(w.Handle)
	if err != nil {
		t.Fatal(err)
	}
	return here.Leads(0, netip.Prefix{})
}

// What the kernel has told nothing of is not looked at again; what was changed since is,
// however soon after, and what is new.
func TestWhatHasNotChangedIsNotLookedAtAgain(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	m := openManager(t, testConfig(t, keeper.InProcess()))
	n := ensure(t, m, Spec{Name: "default"})
	a := create(t, m, "a", on("default"))
	create(t, m, "b", on("default"))
	all := func(string) bool { return true }
	looksAt := func(when string, here bool, inside ...string) {
		t.Helper()
		due := m.due(all)
		var got []string
		for s := range due.inside {
			got = append(got, s.ID)
		}
		slices.Sort(got)
		if due.here != here || !slices.Equal(got, inside) {
			t.Errorf("%s: it looks here: %t, want %t; inside of %v, want %v", when, due.here, here, got, inside)
		}
	}
	looksAt("nobody listens", true, "a", "b")
	looksAt("nobody listens still", true, "a", "b")
	end := listening(t, m)
	looksAt("somebody listens", true, "a", "b")
	looksAt("nothing has happened", false)
	run(t, "nsenter", "--net="+a.NetnsPath, "ip", "route", "del", "default")
	looksAt("a has lost its route", false, "a")
	run(t, "nsenter", "--net="+a.NetnsPath, "nft", "flush", "ruleset")
	looksAt("a has lost its rules", false, "a")
	run(t, "ip", "addr", "flush", "dev", n.Bridge)
	looksAt("the bridge has lost its address", true)
	run(t, "nft", "flush", "table", "inet", "orlop_t1")
	looksAt("the rules are gone", true)
	looksAt("that is told once", false)
	run(t, "nft", "add", "rule", "inet", "orlop_t1", "forward", "drop")
	looksAt("a rule is added", true)
	run(t, "ip", "route", "replace", "203.0.113.0/24", "dev", n.Bridge)
	looksAt("a route is another", true)
	run(t, "ip", "link", "set", n.Bridge, "mtu", "1400")
	looksAt("a link is otherwise", true)
	run(t, "nsenter", "--net="+a.NetnsPath, "ip", "route", "add", "default", "dev", "eth0")
	looksAt("a has a route again", false)
	run(t, "nsenter", "--net="+a.NetnsPath, "ip", "route", "replace", "default", "dev", "lo")
	looksAt("a's route is another", false, "a")
	run(t, "nsenter", "--net="+a.NetnsPath, "ip", "link", "set", "eth0", "name", "other")
	looksAt("a's link has another name", false, "a")
	run(t, "umount", a.NetnsPath)
	looksAt("a's namespace is mounted no more", false, "a")
	if networks, sandboxes, err := m.Faults(t.Context(), all); err != nil || len(networks["default"]) != 2 || len(sandboxes["a"]) != 1 {
		t.Errorf("what is wrong: %v, %v, %v", networks, sandboxes, err)
	}
	looksAt("what was found is looked at again", true, "a")
	create(t, m, "c", on("default"))
	looksAt("what is new is as it was made", true, "a") // which is mounted no more
	end()
	looksAt("nobody listens any more", true, "a", "b", "c")
}

// A sandbox that somebody begins to change just as it is about to be looked into is looked
// into once that is over.
func TestWhatIsBeingChangedIsLookedIntoAfterwards(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	m := openManager(t, testConfig(t, keeper.InProcess()))
	ensure(t, m, Spec{Name: "default"})
	a := create(t, m, "a", on("default"))
	all := func(string) bool { return true }
	end := listening(t, m)
	m.due(all)
	run(t, "nsenter", "--net="+a.NetnsPath, "ip", "route", "del", "default")
	var changed *sandbox
	_, _, err := m.Faults(t.Context(), func(string) bool {
		if changed == nil {
			var err error
			if changed, _, err = m.occupy("a", "default"); err != nil {
				t.Fatal(err)
			}
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	m.vacate(changed)
	if _, found, err := m.Faults(t.Context(), all); err != nil || len(found["a"]) != 1 {
		t.Errorf("what is wrong with it: %v, %v", found, err)
	}
	end()
}

// listening has a manager told by the kernel until end is called.
func listening(t *testing.T, m *Manager) (end func()) {
	t.Helper()
	listener, err := kernel.Listen(m.interest(), func() {})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- listener.Run(ctx) }()
	m.listenBy(listener)
	return func() {
		t.Helper()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}
