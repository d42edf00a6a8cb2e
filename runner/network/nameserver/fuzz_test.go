package nameserver

import (
	"net/netip"
	"testing"

	"github.com/miekg/dns"
)

// FuzzQuery holds that no message that a container sends panics, and that an
// answer is of the size that it takes.
func FuzzQuery(f *testing.F) {
	for _, name := range []string{"web.", "WEB.", "1.0.89.10.in-addr.arpa.", "5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa.", "ff.x.ip6.arpa.", ".", "a..b.", "x.example."} {
		for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypePTR, dns.TypeANY, dns.TypeTXT, 0, 65535} {
			q := new(dns.Msg).SetQuestion(name, kind)
			q.SetEdns0(100, true)
			if packed, err := q.Pack(); err == nil {
				f.Add(packed)
			}
		}
	}
	f.Add([]byte{0, 1, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0xc0, 12})
	r := New(func() []netip.AddrPort { return nil }, nil)
	f.Cleanup(r.Wait)
	addHost(r, "a", "front", "10.89.0.1", true, "web", "x")
	v := View{Networks: []string{"front"}, Subnets: []netip.Prefix{netip.MustParsePrefix("10.89.0.0/24")}, Extra: map[string][]netip.Addr{"own": {netip.MustParseAddr("::1")}}}
	f.Fuzz(func(t *testing.T, data []byte) {
		query := new(dns.Msg)
		if query.Unpack(data) != nil || query.Response {
			return
		}
		reply, ok := r.answer(v, query)
		if !ok {
			return
		}
		reply.Truncate(udpSize(query))
		packed, err := reply.Pack()
		if err == nil && len(packed) > udpSize(query) && len(query.Question) <= 1 {
			t.Errorf("an answer of %d bytes, where %d are taken", len(packed), udpSize(query))
		}
	})
}
