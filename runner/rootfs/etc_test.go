package rootfs

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orlop/orlop/spec"
)

func TestFilesBelowEtc(t *testing.T) {
	names := map[netip.Addr][]string{netip.MustParseAddr("10.0.0.3"): {"c0ffee"}, netip.MustParseAddr("10.0.0.2"): {"c0ffee", "web"}}
	const own = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n10.0.0.2\tc0ffee web\n10.0.0.3\tc0ffee\n10.1.1.1\tdb\n"
	host, err := os.ReadFile("/etc/hosts")
	if err != nil {
		t.Skip("SKIPPED: the machine has no /etc/hosts")
	}
	for mode, want := range map[string][2]string{ // hosts, resolv.conf
		"":     {own, "nameserver 127.0.0.11\noptions ndots:0\n"},
		"none": {own, ""},
		"host": {string(host) + "10.1.1.1\tdb\n", "*"},
	} {
		dir := filepath.Join(t.TempDir(), "c1")
		e := Etc{Dir: dir, Hostname: "c0ffee", Names: names, Extra: []string{"db=10.1.1.1"}, Service: &spec.Service{NetworkMode: mode}}
		mounts, err := e.Mounts()
		if err != nil || len(mounts) != 3 {
			t.Fatalf("%q: %v, %v", mode, mounts, err)
		}
		for _, m := range mounts {
			text, err := os.ReadFile(m.Source)
			expected := map[string]string{"/etc/hosts": want[0], "/etc/hostname": "c0ffee\n", "/etc/resolv.conf": want[1]}[m.Destination]
			if err != nil || expected != "*" && string(text) != expected || m.Type != "bind" || !strings.HasPrefix(m.Source, dir) {
				t.Errorf("%q: %+v holds %q, %v; want %q", mode, m, text, err, expected)
			}
		}
	}
}

// A service's own resolvers are those of its name server, and stand in the file
// where it has none.
func TestResolversOfAService(t *testing.T) {
	own := spec.Service{DNS: []string{"192.0.2.1", "2001:db8::1"}, DNSSearch: []string{"a.example", "b.example"}, DNSOpt: []string{"timeout:1"}}
	lines := "search a.example b.example\noptions timeout:1"
	with := func(mode string, s spec.Service) *spec.Service { s.NetworkMode = mode; return &s }
	for want, e := range map[string]Etc{
		"nameserver 127.0.0.11\n" + lines + " ndots:0\n":                       {Service: with("", own)},
		"nameserver 192.0.2.1\nnameserver 2001:db8::1\n" + lines + "\n":        {Service: with("none", own)},
		"nameserver 127.0.0.11\noptions ndots:2\n":                             {Service: &spec.Service{DNSSearch: []string{"."}, DNSOpt: []string{"ndots:2"}}},
		"nameserver 127.0.0.11\nsearch c.example\noptions timeout:1 ndots:0\n": {Service: with("service:vpn", spec.Service{DNSSearch: []string{"c.example"}}), Owner: with("", own)},
	} {
		if got, err := e.resolvConf(); err != nil || got != want {
			t.Errorf("got  %q, %v\nwant %q", got, err, want)
		}
	}
	if got, err := (&Etc{Service: with("host", own)}).resolvConf(); err != nil || got != "nameserver 192.0.2.1\nnameserver 2001:db8::1\n"+lines+"\n" {
		t.Errorf("on the host's network it is %q, %v", got, err)
	}
	if got, err := (&Etc{Service: with("service:a", spec.Service{}), Owner: with("host", spec.Service{})}).resolvConf(); err != nil || strings.Contains(got, nameServer) {
		t.Errorf("who shares the host's network has %q, %v", got, err)
	}
	host := parseResolvConf("# by hand\nnameserver 192.0.2.7\ndomain old.example\nsearch host.example\noptions edns0\n")
	host.override(&spec.Service{DNS: []string{"192.0.2.1"}})
	if got := host.String(); got != "nameserver 192.0.2.1\nsearch host.example\noptions edns0\n" {
		t.Errorf("the host's with another server is %q", got)
	}
}
