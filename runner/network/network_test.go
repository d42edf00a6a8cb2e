package network

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/vishvananda/netlink"

	"github.com/orlop/orlop/keeper"
	"github.com/orlop/orlop/runner/network/netns"
)

const (
	soon  = 5 * time.Second
	never = 400 * time.Millisecond // long enough for one hop on one machine
)

// upstream is a resolver on loopback that gives each query one record.
func upstream(t *testing.T, record string) netip.AddrPort {
	t.Helper()
	pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	rr, err := dns.NewRR(record)
	if err != nil {
		t.Fatal(err)
	}
	started, done := make(chan struct{}), make(chan error, 1)
	srv := &dns.Server{
		PacketConn: pc, NotifyStartedFunc: func() { close(started) },
		Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
			reply := new(dns.Msg).SetReply(q)
			reply.Answer = append(reply.Answer, rr)
			w.WriteMsg(reply)
		}),
	}
	go func() { done <- srv.ActivateAndServe() }()
	<-started
	t.Cleanup(func() { srv.Shutdown(); <-done })
	return netip.MustParseAddrPort(pc.LocalAddr().String())
}

func TestSandboxesOfOneNetworkMeetByAddressAndName(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	up := upstream(t, "far.example. 60 IN A 192.0.2.7")
	cfg := testConfig(t, keeper.InProcess())
	cfg.Upstreams = func() []netip.AddrPort { return []netip.AddrPort{up} } // on the host's loopback
	m := openManager(t, cfg)
	ensure(t, m, Spec{Name: "default"})
	a := create(t, m, "aaaaaaaaaaaaaaaaaaaa", on("default"))
	spec := on("default")
	spec.Names = []string{"shop-web-1", "web"}
	spec.Endpoints[0].Aliases = []string{"www.shop.test"}
	b := create(t, m, "bbbbbbbbbbbbbbbbbbbb", spec)
	addr := b.Addresses["default"].Addr()
	serveHello(t, b.NetnsPath, ":80")
	got, err := dialFrom(a.NetnsPath, hostPort(addr, 80), soon)
	if want := "hello " + a.Addresses["default"].Addr().String(); err != nil || got != want {
		t.Fatalf("got %q, %v; want %q (no address translation within a network)", got, err, want)
	}
	for _, name := range []string{"shop-web-1", "WEB", "www.shop.test", "bbbbbbbbbbbb"} {
		if ips, err := lookup(a, name); err != nil || !slices.Equal(ips, []string{addr.String()}) {
			t.Errorf("%s resolves to %v, %v; want %s", name, ips, err, addr)
		}
	}
	if ips, err := lookupOver("tcp", a, "web"); err != nil || !slices.Equal(ips, []string{addr.String()}) {
		t.Errorf("by TCP web resolves to %v, %v", ips, err)
	}
	if ips, err := lookup(a, "far.example"); err != nil || !slices.Equal(ips, []string{"192.0.2.7"}) {
		t.Errorf("a name of the world resolves to %v, %v", ips, err)
	}
	if err := m.SetNames(b.ID, false); err != nil {
		t.Fatal(err)
	}
	if ips, err := lookup(a, "web"); err == nil {
		t.Errorf("web resolves to %v though it does not run", ips)
	}
	// A program of the container may listen on port 53 itself.
	serveHello(t, b.NetnsPath, ":53")
}

func TestNetworksAreIsolated(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	m := openManager(t, testConfig(t, keeper.InProcess()))
	ensure(t, m, Spec{Name: "front"})
	ensure(t, m, Spec{Name: "back"})
	a := create(t, m, "a", on("front"))
	spec := on("back")
	spec.Names = []string{"db"}
	b := create(t, m, "b", spec)
	both := create(t, m, "c", on("front", "back"))
	serveHello(t, b.NetnsPath, ":80")
	target := hostPort(b.Addresses["back"].Addr(), 80)
	if _, err := dialFrom(both.NetnsPath, target, soon); err != nil {
		t.Errorf("a sandbox on both networks does not reach one of them: %v", err)
	}
	if _, err := dialFrom(a.NetnsPath, target, never); err == nil {
		t.Error("a sandbox reaches one of another network")
	}
	if _, err := lookup(both, "db"); err != nil {
		t.Errorf("db does not resolve on its network: %v", err)
	}
	if ips, err := lookup(a, "db"); err == nil {
		t.Errorf("db resolves to %v on another network", ips)
	}
}

// neighbour joins a namespace of its own to the host, as a machine on its LAN.
func neighbour(t *testing.T) (path string) {
	t.Helper()
	run(t, "ip", "netns", "add", "lan")
	t.Cleanup(func() { run(t, "ip", "netns", "del", "lan") })
	run(t, "ip", "link", "add", "up0", "type", "veth", "peer", "name", "lan0", "netns", "lan")
	run(t, "ip", "addr", "add", "198.51.100.1/24", "dev", "up0")
	run(t, "ip", "link", "set", "up0", "up")
	run(t, "ip", "-n", "lan", "addr", "add", "198.51.100.2/24", "dev", "lan0")
	run(t, "ip", "-n", "lan", "link", "set", "lan0", "up")
	run(t, "ip", "-n", "lan", "link", "set", "lo", "up")
	awaitUp(t, "up0")
	return "/run/netns/lan"
}

// awaitUp waits until the kernel says that a link is up, which it does a moment
// after its other end is.
func awaitUp(t *testing.T, name string) {
	t.Helper()
	links, done := make(chan netlink.LinkUpdate), make(chan struct{})
	defer close(done)
	if err := netlink.LinkSubscribeWithOptions(links, done, netlink.LinkSubscribeOptions{ListExisting: true}); err != nil {
		t.Fatal(err)
	}
	late := time.After(10 * time.Second)
	for {
		select {
		case l := <-links:
			if l.Link != nil && l.Attrs().Name == name && l.Attrs().OperState == netlink.OperUp {
				return
			}
		case <-late:
			t.Fatalf("%s does not come up", name)
		}
	}
}

func TestTheWayOutIsMasqueradedAndOneWay(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	lan := neighbour(t)
	m := openManager(t, testConfig(t, keeper.InProcess()))
	n := ensure(t, m, Spec{Name: "default"})
	in := ensure(t, m, Spec{Name: "inner", Internal: true})
	a := create(t, m, "a", on("default"))
	b := create(t, m, "b", on("inner"))
	serveHello(t, lan, ":80")
	got, err := dialFrom(a.NetnsPath, "198.51.100.2:80", soon)
	if err != nil || got != "hello 198.51.100.1" {
		t.Errorf("from a network: %q, %v; want the host's address to be seen", got, err)
	}
	if _, err := dialFrom(b.NetnsPath, "198.51.100.2:80", never); err == nil {
		t.Error("an internal network has a way out")
	}
	// Whoever gives himself a route still gets nowhere.
	if err := netns.In(b.NetnsPath, func() error {
		run(t, "nsenter", "--net="+b.NetnsPath, "ip", "route", "add", "default", "via", in.Gateway.String())
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	serveHello(t, "/proc/self/ns/net", "198.51.100.1:81")
	for _, target := range []string{"198.51.100.2:80", "198.51.100.1:81", hostPort(in.Gateway, 81), hostPort(n.Gateway, 81)} {
		if _, err := dialFrom(b.NetnsPath, target, never); err == nil {
			t.Errorf("an internal network reaches %s", target)
		}
	}
	// The host reaches it nevertheless: published ports depend on it.
	serveHello(t, b.NetnsPath, ":82")
	if _, err := dialFrom("/proc/self/ns/net", hostPort(b.Addresses["inner"].Addr(), 82), soon); err != nil {
		t.Errorf("the host does not reach a container of an internal network: %v", err)
	}
	// A neighbour with a route does not reach a container.
	run(t, "ip", "-n", "lan", "route", "add", n.Subnet.String(), "via", "198.51.100.1")
	serveHello(t, a.NetnsPath, ":80")
	if _, err := dialFrom(lan, hostPort(a.Addresses["default"].Addr(), 80), never); err == nil {
		t.Error("a neighbour reaches a container by its address")
	}
}

func TestPublishedPortsReachSandboxes(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	lan := neighbour(t)
	held := keeper.InProcess()
	m := openManager(t, testConfig(t, held))
	ensure(t, m, Spec{Name: "default"})
	a := create(t, m, "a", on("default"))
	serveHello(t, a.NetnsPath, ":80")
	bound, err := held.Listen(t.Context(), keeper.Port{Key: "web", Proto: keeper.TCP})
	if err != nil {
		t.Fatal(err)
	}
	backend := netip.AddrPortFrom(a.Addresses["default"].Addr(), 80)
	if err := held.Route(t.Context(), "web", keeper.Route{Backends: []netip.AddrPort{backend}}); err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{lan, a.NetnsPath, "/proc/self/ns/net"} {
		got, err := dialFrom(from, hostPort(netip.MustParseAddr("198.51.100.1"), int(bound.Port())), soon)
		if err != nil || !strings.HasPrefix(got, "hello ") {
			t.Errorf("from %s: %q, %v", from, got, err)
		}
	}
}

func TestAwaitAcceptWaitsForConnections(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	m := openManager(t, testConfig(t, keeper.InProcess()))
	ensure(t, m, Spec{Name: "default"})
	a := create(t, m, "a", on("default"))
	var l net.Listener
	if err := netns.In(a.NetnsPath, func() (err error) {
		l, err = net.Listen("tcp", ":80")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := m.AwaitAccept(t.Context(), "a", []uint16{80}); err != nil {
		t.Fatalf("without a connection: %v", err)
	}
	client, err := net.Dial("tcp", hostPort(a.Addresses["default"].Addr(), 80))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	short, cancel := context.WithTimeout(t.Context(), never/4)
	defer cancel()
	if err := m.AwaitAccept(short, "a", []uint16{81}); err != nil {
		t.Errorf("another port's connections were waited for: %v", err)
	}
	if err := m.AwaitAccept(short, "a", []uint16{80}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with a connection that nobody accepted: %v", err)
	}
	done := make(chan error, 1)
	go func() { done <- m.AwaitAccept(t.Context(), "a", []uint16{80}) }()
	if _, err := l.Accept(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("after it was accepted: %v", err)
	}
}

func TestExchangedAddressesLeadToTheOther(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	cfg := testConfig(t, keeper.InProcess())
	m := openManager(t, cfg)
	ensure(t, m, Spec{Name: "default"})
	ensure(t, m, Spec{Name: "inside", Internal: true})
	client := create(t, m, "client", on("inside", "default"))
	a := create(t, m, "a", on("inside", "default"))
	spec := on("default")
	spec.Names = []string{"web"}
	b := create(t, m, "b", spec)
	serveHello(t, a.NetnsPath, ":80")
	serveHello(t, b.NetnsPath, ":81")
	addrA, addrB := a.Addresses["default"].Addr(), b.Addresses["default"].Addr()
	for _, at := range []string{hostPort(addrA, 80), hostPort(addrB, 81)} { // the neighbours know who has which
		if _, err := dialFrom(client.NetnsPath, at, soon); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.SetNames("b", true); err != nil {
		t.Fatal(err)
	}
	if err := m.Exchange(t.Context(), "a", "b"); err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		for _, from := range []string{client.NetnsPath, "/proc/self/ns/net"} {
			for _, at := range []string{hostPort(addrB, 80), hostPort(addrA, 81)} {
				if _, err := dialFrom(from, at, soon/4); err != nil {
					t.Errorf("%s, from %s: %s: %v", when, from, at, err)
				}
			}
		}
		if ips, err := lookup(client, "web"); err != nil || !slices.Equal(ips, []string{addrA.String()}) {
			t.Errorf("%s: web resolves to %v, %v; want %s", when, ips, err, addrA)
		}
	}
	check("exchanged")
	if st, _ := m.Sandbox("a"); st.Addresses["default"].Addr() != addrB || st.Addresses["inside"] != a.Addresses["inside"] {
		t.Errorf("it has %v now", st.Addresses)
	}
	m.Close()
	m = openManager(t, cfg)
	check("after a restart")
	if err := m.Exchange(t.Context(), "b", "a"); err != nil {
		t.Fatal(err)
	}
	if st, _ := m.Sandbox("a"); !maps.Equal(st.Addresses, a.Addresses) {
		t.Errorf("back again it has %v, want %v", st.Addresses, a.Addresses)
	}
}

func TestAHostThatDropsForwardedPackets(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	lan := neighbour(t)
	serveHello(t, lan, ":80")
	run(t, "nft", `table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; } ; chain DOCKER { }; }`)
	run(t, "nft", "add rule ip filter FORWARD jump DOCKER")
	cfg := testConfig(t, keeper.InProcess())
	before := snapshot(t, cfg.StateDir)
	m := openManager(t, cfg)
	ensure(t, m, Spec{Name: "default"})
	a := create(t, m, "a", on("default"))
	if _, err := dialFrom(a.NetnsPath, "198.51.100.2:80", soon); err != nil {
		t.Errorf("no way out: %v\n%s", err, run(t, "nft", "list", "ruleset"))
	}
	// Whoever flushes the chain is followed at the next look.
	run(t, "nft", "flush chain ip filter FORWARD")
	run(t, "nft", "add rule ip filter FORWARD jump DOCKER")
	ensure(t, m, Spec{Name: "default"})
	if _, err := dialFrom(a.NetnsPath, "198.51.100.2:80", soon); err != nil {
		t.Errorf("no way out after the chain was flushed: %v", err)
	}
	if err := errors.Join(m.RemoveSandbox(t.Context(), "a"), m.RemoveNetwork(t.Context(), "default"), m.Close()); err != nil {
		t.Fatal(err)
	}
	if after := snapshot(t, cfg.StateDir); after != before {
		t.Errorf("left behind:\n%s\nbefore:\n%s", after, before)
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	neighbour(t)
	held := keeper.InProcess()
	cfg := testConfig(t, held)
	before := snapshot(t, cfg.StateDir)
	m := openManager(t, cfg)
	other := testConfig(t, held)
	other.ID = "t2"
	m2 := openManager(t, other)
	for _, m := range []*Manager{m, m2} {
		ensure(t, m, Spec{Name: "default"})
		ensure(t, m, Spec{Name: "inner", Internal: true})
		create(t, m, "a", on("default", "inner"))
		create(t, m, "b", Sandbox{})
	}
	if err := m.RemoveNetwork(t.Context(), "inner"); err == nil || !strings.Contains(err.Error(), "in use by a") {
		t.Errorf("a network in use is removed, or nobody named: %v", err)
	}
	for i, m := range []*Manager{m, m2} {
		for range 2 { // removing twice is removing once
			err := errors.Join(m.RemoveSandbox(t.Context(), "a"), m.RemoveSandbox(t.Context(), "b"),
				m.RemoveNetwork(t.Context(), "default"), m.RemoveNetwork(t.Context(), "inner"))
			if err != nil {
				t.Fatal(err)
			}
		}
		if i == 0 && strings.TrimSpace(run(t, "cat", forwardSwitch)) != "1" {
			t.Error("forwarding is off though another engine has networks")
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if after := snapshot(t, cfg.StateDir); after != before {
		t.Errorf("left behind:\n%s\nbefore:\n%s", after, before)
	}
	if kept, _ := held.Kept(t.Context()); len(kept) > 0 {
		t.Errorf("still kept: %v", kept)
	}
}

func TestReopeningAdoptsAndRepairs(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	lan := neighbour(t)
	serveHello(t, lan, ":80")
	held := keeper.InProcess()
	cfg := testConfig(t, held)
	m := openManager(t, cfg)
	ensure(t, m, Spec{Name: "default", Labels: map[string]string{"k": "v"}})
	ensure(t, m, Spec{Name: "inner", Internal: true})
	a := create(t, m, "a", on("default", "inner"))
	spec := on("default")
	spec.Names = []string{"web"}
	b := create(t, m, "b", spec)
	networks := m.Networks()

	damages := map[string]func(){
		"none":              func() {},
		"link deleted":      func() { run(t, "ip", "link", "del", m.sandboxes["a"].Endpoints[0].Link) },
		"table deleted":     func() { run(t, "nft", "delete table inet orlop_t1") },
		"bridge deleted":    func() { run(t, "ip", "link", "del", m.networks["default"].Bridge) },
		"sockets forgotten": func() { held.Drop(t.Context(), dnsKey("a")) },
		"orphans": func() {
			run(t, "ip", "link", "add", "ort1v00ff00", "type", "veth", "peer", "name", "ort1v00ff01")
			half := &sandbox{ID: "half", Endpoints: []endpoint{{Network: "default", Link: "ort1v00ff02"}}}
			if err := m.writeRecord(sandboxesDir, "half", half); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, damage := range damages {
		damage()
		if err := m.Close(); err != nil { // as after a kill: nothing is put away
			t.Fatal(err)
		}
		m = openManager(t, cfg)
		got, ok := m.Sandbox("a")
		if !ok || got.Addresses["default"] != a.Addresses["default"] || got.Addresses["inner"] != a.Addresses["inner"] {
			t.Errorf("%s: sandbox is %+v, want %+v", name, got, a)
		}
		if len(m.Networks()) != len(networks) || len(m.Sandboxes()) != 2 {
			t.Errorf("%s: %v, %v", name, m.Networks(), m.Sandboxes())
		}
		if ips, err := lookup(a, "web"); err != nil || ips[0] != b.Addresses["default"].Addr().String() {
			t.Errorf("%s: web resolves to %v, %v", name, ips, err)
		}
		if _, err := dialFrom(a.NetnsPath, "198.51.100.2:80", soon); err != nil {
			t.Errorf("%s: no way out: %v", name, err)
		}
		if links := run(t, "ip", "-o", "link"); strings.Contains(links, "ort1v00ff") {
			t.Errorf("%s: orphans stay:\n%s", name, links)
		}
	}
}

func TestWhatOthersRemoveComesBack(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	lan := neighbour(t)
	serveHello(t, lan, ":80")
	m := openManager(t, testConfig(t, keeper.InProcess()))
	ensure(t, m, Spec{Name: "default"})
	a := create(t, m, "a", on("default"))
	b := create(t, m, "b", on("default"))
	serveHello(t, b.NetnsPath, ":80")
	ctx, cancel := context.WithCancel(t.Context())
	repaired, ended := make(chan error, 10), make(chan error, 1)
	go func() { ended <- m.Guard(ctx, func(err error) { repaired <- err }) }()
	for _, damage := range [][]string{
		{"nft", "delete table inet orlop_t1"},
		{"nft", "flush ruleset"},
		{"ip", "link", "del", m.sandboxes["a"].Endpoints[0].Link},
		{"ip", "link", "del", m.networks["default"].Bridge},
	} {
		run(t, damage[0], damage[1:]...)
		for mended := false; !mended; {
			select {
			case err := <-repaired:
				if err != nil {
					t.Fatalf("%s: %v", damage, err)
				}
				_, err = dialFrom(a.NetnsPath, "198.51.100.2:80", soon) // the kernel leads traffic by a new link a moment later
				mended = err == nil
			case <-time.After(soon):
				t.Fatalf("%s: nobody repairs it", damage)
			}
		}
		if _, err := dialFrom(a.NetnsPath, hostPort(b.Addresses["default"].Addr(), 80), soon); err != nil {
			t.Errorf("%s: the other sandbox is out of reach: %v", damage, err)
		}
	}
	// What we remove ourselves stays removed.
	if err := m.RemoveSandbox(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	run(t, "nft", "delete table inet orlop_t1")
	if err := <-repaired; err != nil {
		t.Error(err)
	}
	if links := run(t, "ip", "-o", "link", "show", "type", "veth"); strings.Count(links, "ort1v") != 1 {
		t.Errorf("links are\n%s", links)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestQueriesWaitWhileTheManagerIsAway(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	held := keeper.InProcess()
	cfg := testConfig(t, held)
	m := openManager(t, cfg)
	ensure(t, m, Spec{Name: "default"})
	spec := on("default")
	spec.Names = []string{"web"}
	a := create(t, m, "a", spec)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	// The query is in the socket's queue before the next manager starts.
	asked, answered := make(chan error, 1), make(chan error, 1)
	go func() {
		answered <- netns.In(a.NetnsPath, func() error {
			c, err := net.Dial("udp4", NameServer+":53")
			if err == nil {
				defer c.Close()
				_, err = c.Write(query("web"))
			}
			asked <- err
			if err != nil {
				return err
			}
			c.SetDeadline(time.Now().Add(soon))
			_, err = c.Read(make([]byte, 512))
			return err
		})
	}()
	if err := <-asked; err != nil {
		t.Fatal(err)
	}
	openManager(t, cfg)
	if err := <-answered; err != nil {
		t.Errorf("a query sent while the manager was away got no answer: %v", err)
	}
}

// TestSubnetsAvoidWhatTheHostUses: links, and routes of every table.
//
// Fault 22: the host has links and routes in the ranges that networks are given
// Seen: another range is taken; one that the stack file fixes is refused, with what is in its way
// Kept: the routes of the host are as they were
func TestSubnetsAvoidWhatTheHostUses(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	run(t, "ip", "link", "add", "vpn0", "type", "bridge")
	run(t, "ip", "link", "set", "vpn0", "up")
	run(t, "ip", "addr", "add", "10.89.0.7/24", "dev", "vpn0")
	run(t, "ip", "route", "add", "10.89.1.0/25", "dev", "vpn0", "table", "77")
	m := openManager(t, testConfig(t, keeper.InProcess()))
	if n := ensure(t, m, Spec{Name: "default"}); n.Subnet.String() != "10.89.2.0/24" {
		t.Errorf("picked %s", n.Subnet)
	}
	_, err := m.EnsureNetwork(t.Context(), Spec{Name: "x", Subnet: netip.MustParsePrefix("10.89.0.0/16")})
	if err == nil || !strings.Contains(err.Error(), "overlaps 10.89.") {
		t.Errorf("an overlapping subnet is taken: %v", err)
	}
	_, err = m.EnsureNetwork(t.Context(), Spec{Name: "z", Subnet: netip.MustParsePrefix("198.51.100.0/24"), Range: netip.MustParsePrefix("10.9.0.0/28")})
	if _, there := m.Network("z"); err == nil || there {
		t.Errorf("a range outside of its subnet: %v; the network is there: %t", err, there)
	}
	if n := ensure(t, m, Spec{Name: "y", Subnet: netip.MustParsePrefix("192.0.2.0/24"), Gateway: netip.MustParseAddr("192.0.2.254")}); n.Gateway.String() != "192.0.2.254" {
		t.Errorf("gateway is %s", n.Gateway)
	}
	s := on("y")
	s.Endpoints[0].IPv4 = netip.MustParseAddr("192.0.2.9")
	if got := create(t, m, "a", s).Addresses["y"].String(); got != "192.0.2.9/24" {
		t.Errorf("address is %s", got)
	}
	if _, err := m.CreateSandbox(t.Context(), "b", s); err == nil {
		t.Error("an address is given twice")
	}
}

func TestManySandboxesAtOnce(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	m := openManager(t, testConfig(t, keeper.InProcess()))
	ensure(t, m, Spec{Name: "default"})
	const many = 50
	began := time.Now()
	parallel(t, many, func(id string) error {
		_, err := m.CreateSandbox(t.Context(), id, on("default"))
		return err
	})
	t.Logf("%d sandboxes made in %v", many, time.Since(began))
	seen := map[netip.Prefix]bool{}
	for _, id := range m.Sandboxes() {
		s, _ := m.Sandbox(id)
		seen[s.Addresses["default"]] = true
	}
	if len(seen) != many {
		t.Errorf("%d addresses for %d sandboxes", len(seen), many)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	began = time.Now()
	m = openManager(t, m.cfg)
	t.Logf("adopted in %v", time.Since(began))
	began = time.Now()
	parallel(t, many, func(id string) error { return m.RemoveSandbox(t.Context(), id) })
	t.Logf("and removed in %v", time.Since(began))
}

// TestNamesAreOfTheLivingWhileServicesComeAndGo replaces a service ten times while
// its name is asked for without a pause.
//
// Fault 30: a name is asked for without a pause while its service is replaced
// Seen: each question is answered, and as soon as the old container is gone by the new address alone
// Kept: no name is unknown for a moment
func TestNamesAreOfTheLivingWhileServicesComeAndGo(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	m := openManager(t, testConfig(t, keeper.InProcess()))
	ensure(t, m, Spec{Name: "default"})
	client := create(t, m, "client", on("default"))
	web := on("default")
	web.Names = []string{"web"}
	create(t, m, "web0", web)
	stop, asked := make(chan struct{}), make(chan int)
	for range 2 {
		go func() {
			n := 0
			defer func() { asked <- n }()
			for ; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := lookup(client, "web"); err != nil {
					t.Errorf("query %d, with one replica always alive: %v", n, err)
					return
				}
			}
		}()
	}
	for i := range 10 { // the next is up before the last is gone
		create(t, m, fmt.Sprint("web", i+1), web)
		old := fmt.Sprint("web", i)
		if err := errors.Join(m.SetNames(old, false), m.RemoveSandbox(t.Context(), old)); err != nil {
			t.Error(err)
		}
		last, _ := m.Sandbox(fmt.Sprint("web", i+1))
		if ips, err := lookup(client, "web"); err != nil || !slices.Equal(ips, []string{last.Addresses["default"].Addr().String()}) {
			t.Errorf("web resolves to %v, %v; want the one that lives", ips, err)
		}
	}
	close(stop)
	if n := <-asked + <-asked; n == 0 {
		t.Error("nobody asked")
	}
}

func parallel(t testing.TB, n int, f func(id string) error) {
	t.Helper()
	errs := make(chan error)
	for i := range n {
		go func() { errs <- f("s" + string(rune('a'+i/26)) + string(rune('a'+i%26))) }()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func BenchmarkNetwork(b *testing.B) {
	if !onFreshHost(b) {
		return
	}
	m := openManager(b, testConfig(b, keeper.InProcess()))
	ensure(b, m, Spec{Name: "first"})
	for b.Loop() {
		ensure(b, m, Spec{Name: "default"})
		b.StopTimer()
		if err := m.RemoveNetwork(b.Context(), "default"); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

func BenchmarkSandbox(b *testing.B) {
	if !onFreshHost(b) {
		return
	}
	m := openManager(b, testConfig(b, keeper.InProcess()))
	ensure(b, m, Spec{Name: "default"})
	i := 0
	for b.Loop() {
		if _, err := m.CreateSandbox(b.Context(), fmt.Sprint("s", i), on("default")); err != nil {
			b.Fatal(err)
		}
		i++
	}
	for _, id := range m.Sandboxes() {
		if err := m.RemoveSandbox(b.Context(), id); err != nil {
			b.Fatal(err)
		}
	}
}
