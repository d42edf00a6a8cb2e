package nameserver

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// TestADeadNameServerFailsOutsideNamesOnly asks for both kinds while the only
// name server of the host says nothing.
//
// Fault 31: the host's name server answers nothing
// Seen: names of the outside fail after two seconds a server, with SERVFAIL
// Kept: names of the stack are answered at once meanwhile
func TestADeadNameServerFailsOutsideNamesOnly(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 16)
	silent := upstream(t, func(string, *dns.Msg) *dns.Msg { asked <- struct{}{}; return nil })
	r := testResolver(t, silent)
	addHost(r, "a", "default", "10.0.0.2", true, "web")
	answered := make(chan *dns.Msg, 1)
	began := time.Now()
	go func() { answered <- r.forward(View{}, new(dns.Msg).SetQuestion("example.com.", dns.TypeA)) }()
	<-asked
	inside := time.Now()
	if reply := ask(r, View{Networks: []string{"default"}}, "web", dns.TypeA); len(reply.Answer) != 1 || time.Since(inside) > time.Second {
		t.Errorf("a name of the stack got %v after %s", reply, time.Since(inside))
	}
	if reply := <-answered; reply.Rcode != dns.RcodeServerFailure || time.Since(began) > upstreamTimeout+time.Second {
		t.Errorf("a name of the outside got %v after %s", reply, time.Since(began))
	}
}

// TestTheHostsNameServersAreReadAgain changes the file as DHCP clients do: another
// is renamed over it.
//
// Fault 31: the host's resolv.conf changes, and is away for a moment
// Seen: nothing: the next name of the outside is asked of the new server
// Kept: while there is no file, or one that can't be read, the last servers are asked
func TestTheHostsNameServersAreReadAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resolv.conf")
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(file+".new", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	h := &hostResolvers{file: file, log: slog.New(slog.DiscardHandler)}
	holds := func(when string, want ...string) {
		t.Helper()
		got := h.list()
		if len(got) != len(want) {
			t.Errorf("%s: %v, want %v", when, got, want)
			return
		}
		for i, w := range want {
			if got[i] != netip.MustParseAddrPort(w) {
				t.Errorf("%s: %v, want %v", when, got, want)
			}
		}
	}
	put("nameserver 192.0.2.1\n")
	holds("at first", "192.0.2.1:53")
	put("nameserver 192.0.2.2\nnameserver 192.0.2.3\n")
	holds("after a change", "192.0.2.2:53", "192.0.2.3:53")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	holds("without a file", "192.0.2.2:53", "192.0.2.3:53")
	put("# none\n")
	holds("without a server")
	put("nameserver 192.0.2.4\n")
	holds("when it is back", "192.0.2.4:53")
}
