package nameserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/miekg/dns"
)

// upstream is a resolver on loopback; answer gets the transport, udp or tcp.
func upstream(t *testing.T, answer func(transport string, q *dns.Msg) *dns.Msg) netip.AddrPort {
	t.Helper()
	pc, l := bothPorts(t)
	for _, srv := range []*dns.Server{{PacketConn: pc, Net: "udp"}, {Listener: l, Net: "tcp"}} {
		transport := srv.Net
		srv.Handler = dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
			if reply := answer(transport, q); reply != nil {
				w.WriteMsg(reply)
			}
		})
		started, done := make(chan struct{}), make(chan error, 1)
		srv.NotifyStartedFunc = func() { close(started) }
		go func() { done <- srv.ActivateAndServe() }()
		<-started
		t.Cleanup(func() { srv.Shutdown(); <-done })
	}
	return netip.MustParseAddrPort(pc.LocalAddr().String())
}

// bothPorts are of one number, which the kernel gives for one of the two: the other may be somebody's.
func bothPorts(t *testing.T) (net.PacketConn, net.Listener) {
	t.Helper()
	for {
		pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp4", pc.LocalAddr().String())
		if err == nil {
			return pc, l
		}
		defer pc.Close() // so that it is not given once more
		if !errors.Is(err, syscall.EADDRINUSE) {
			t.Fatal(err)
		}
	}
}

func testResolver(t *testing.T, upstreams ...netip.AddrPort) *Resolver {
	t.Helper()
	r := New(func() []netip.AddrPort { return upstreams }, nil)
	t.Cleanup(r.Wait)
	return r
}

func ask(r *Resolver, v View, name string, qtype uint16) *dns.Msg {
	q := new(dns.Msg).SetQuestion(dns.Fqdn(name), qtype)
	if reply, ok := r.answer(v, q); ok {
		return reply
	}
	return r.forward(v, q)
}

func addHost(r *Resolver, id, network, addr string, alive bool, names ...string) {
	r.Add(named(id, alive, names, at(network, addr)))
}

func TestWhoIsToldWhat(t *testing.T) {
	up := upstream(t, func(_ string, q *dns.Msg) *dns.Msg {
		rr, err := dns.NewRR(q.Question[0].Name + " 60 IN TXT upstream")
		if err != nil {
			t.Error(err)
		}
		reply := new(dns.Msg).SetReply(q)
		reply.Answer = append(reply.Answer, rr)
		return reply
	})
	r := testResolver(t, up)
	addHost(r, "one", "front", "10.0.0.2", true, "web", "shop-web-1")
	addHost(r, "two", "front", "10.0.0.3", true, "web")
	addHost(r, "three", "front", "10.0.0.4", false, "web", "asleep", "a.sleep")
	addHost(r, "four", "back", "10.0.1.2", true, "db")
	r.Add(named("five", true, []string{"both"}, at("front", "10.0.0.5"), at("front", "fd00:1::5")))
	front := View{Networks: []string{"front"}, Subnets: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("fd00:1::/64")}, External: true,
		Extra: map[string][]netip.Addr{"gate": {netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}}}
	inner := View{Networks: []string{"back"}}
	for _, c := range []struct {
		view  View
		name  string
		qtype uint16
		want  string
	}{
		{front, "shop-web-1", dns.TypeA, "NOERROR 10.0.0.2"},
		{front, "SHOP-web-1", dns.TypeA, "NOERROR 10.0.0.2"},
		{front, "shop-web-1", dns.TypeAAAA, "NOERROR"},
		{front, "shop-web-1", dns.TypeMX, "NOERROR"},
		{front, "two", dns.TypeA, "NOERROR 10.0.0.3"},
		{front, "asleep", dns.TypeA, "NXDOMAIN"},
		{front, "a.sleep", dns.TypeA, "NXDOMAIN"},
		{front, "db", dns.TypeA, "NXDOMAIN"},
		{front, "gate", dns.TypeA, "NOERROR 192.0.2.1"},
		{front, "gate", dns.TypeAAAA, "NOERROR 2001:db8::1"},
		{front, "nobody", dns.TypeA, "NXDOMAIN"},
		{front, "example.com", dns.TypeTXT, "NOERROR upstream"},
		{front, "2.0.0.10.in-addr.arpa", dns.TypePTR, "NOERROR web.front."},
		{front, "9.0.0.10.in-addr.arpa", dns.TypePTR, "NXDOMAIN"},
		{front, "1.2.0.192.in-addr.arpa", dns.TypePTR, "NOERROR upstream"},
		{front, "both", dns.TypeA, "NOERROR 10.0.0.5"},
		{front, "both", dns.TypeAAAA, "NOERROR fd00:1::5"},
		{front, "5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa", dns.TypePTR, "NOERROR both.front."},
		{front, "6.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.0.0.d.f.IP6.arpa", dns.TypePTR, "NXDOMAIN"},
		{front, "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", dns.TypePTR, "NOERROR upstream"},
		{front, "f.00.ip6.arpa", dns.TypePTR, "NOERROR upstream"},
		{inner, "db", dns.TypeA, "NOERROR 10.0.1.2"},
		{inner, "example.com", dns.TypeA, "NXDOMAIN"},
		{inner, "2.0.0.10.in-addr.arpa", dns.TypePTR, "NXDOMAIN"},
	} {
		if got := inWords(ask(r, c.view, c.name, c.qtype)); got != c.want {
			t.Errorf("%s %s: %s, want %s", dns.TypeToString[c.qtype], c.name, got, c.want)
		}
	}
	first := map[string]int{}
	for range 10 {
		reply := ask(r, front, "web", dns.TypeA)
		if len(reply.Answer) != 2 {
			t.Fatalf("web has %d live replicas, want 2", len(reply.Answer))
		}
		first[reply.Answer[0].(*dns.A).A.String()]++
		if ttl := reply.Answer[0].Header().Ttl; ttl > 1 {
			t.Errorf("an answer may be remembered for %d s", ttl)
		}
	}
	if len(first) != 2 {
		t.Errorf("replicas do not take turns: %v", first)
	}
	r.Remove("one")
	if got := inWords(ask(r, front, "shop-web-1", dns.TypeA)); got != "NXDOMAIN" {
		t.Errorf("a removed sandbox: %s", got)
	}
}

func inWords(m *dns.Msg) string {
	words := []string{dns.RcodeToString[m.Rcode]}
	for _, rr := range m.Answer {
		switch rr := rr.(type) {
		case *dns.A:
			words = append(words, rr.A.String())
		case *dns.AAAA:
			words = append(words, rr.AAAA.String())
		case *dns.PTR:
			words = append(words, rr.Ptr)
		case *dns.TXT:
			words = append(words, rr.Txt...)
		}
	}
	return strings.Join(words, " ")
}

func TestForwardingFallsBackToTCPAndToTheNextResolver(t *testing.T) {
	var mu sync.Mutex
	var transports []string
	big := upstream(t, func(transport string, q *dns.Msg) *dns.Msg {
		mu.Lock()
		transports = append(transports, transport)
		mu.Unlock()
		if opt := q.IsEdns0(); opt == nil || !opt.Do() || opt.UDPSize() != 1400 {
			t.Errorf("EDNS was not passed on: %v", opt)
		}
		reply := new(dns.Msg).SetReply(q)
		if transport == "udp" {
			reply.Truncated = true
			return reply
		}
		for i := range 200 {
			rr, _ := dns.NewRR(fmt.Sprintf("%s 60 IN A 192.0.2.%d", q.Question[0].Name, i))
			reply.Answer = append(reply.Answer, rr)
		}
		return reply
	})
	broken := upstream(t, func(_ string, q *dns.Msg) *dns.Msg {
		return new(dns.Msg).SetRcode(q, dns.RcodeServerFailure)
	})
	r := testResolver(t, broken, big)
	q := new(dns.Msg).SetQuestion("example.com.", dns.TypeA)
	q.SetEdns0(1400, true)
	q.Id = 4711
	reply := r.forward(View{}, q)
	mu.Lock()
	defer mu.Unlock()
	if len(reply.Answer) != 200 || reply.Id != 4711 || !slices.Equal(transports, []string{"udp", "tcp"}) {
		t.Errorf("%d records, id %d, by %v", len(reply.Answer), reply.Id, transports)
	}
	if none := testResolver(t).forward(View{}, q); none.Rcode != dns.RcodeServerFailure || none.Id != 4711 {
		t.Errorf("without a resolver: %v", none)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dead := newForwarder(func() []netip.AddrPort { return []netip.AddrPort{big} }, nil)
	if reply := dead.forward(ctx, q); reply.Rcode != dns.RcodeServerFailure {
		t.Errorf("cancelled: %v", reply)
	}
}

// TestAViewsOwnResolversAreAsked: in place of the host's, by the connection that its
// sandbox makes, and for names without a dot too.
func TestAViewsOwnResolversAreAsked(t *testing.T) {
	says := func(word string) func(string, *dns.Msg) *dns.Msg {
		return func(_ string, q *dns.Msg) *dns.Msg {
			reply := new(dns.Msg).SetReply(q)
			reply.Answer = append(reply.Answer, &dns.TXT{Hdr: header(q.Question[0], dns.TypeTXT), Txt: []string{word}})
			return reply
		}
	}
	hosts, own := upstream(t, says("host")), upstream(t, says("own"))
	r := testResolver(t, hosts)
	addHost(r, "a", "back", "10.0.0.2", true, "web")
	var dialled []string
	v := View{Networks: []string{"back"}, Upstreams: []netip.AddrPort{own}, Dial: func(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error) {
		dialled = append(dialled, network)
		return dialHere(ctx, network, to)
	}}
	for _, name := range []string{"example.com", "single"} {
		reply := ask(r, v, name, dns.TypeTXT)
		if len(reply.Answer) != 1 || reply.Answer[0].(*dns.TXT).Txt[0] != "own" {
			t.Errorf("%s: %v", name, reply)
		}
	}
	if len(ask(r, v, "web", dns.TypeA).Answer) != 1 || len(dialled) != 2 {
		t.Errorf("a name of the stack is asked for elsewhere: %v", dialled)
	}
}
