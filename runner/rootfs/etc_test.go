package rootfs

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
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
		e := Etc{Dir: dir, Hostname: "c0ffee", Names: names, Extra: []string{"db=10.1.1.1"}, NetworkMode: mode}
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
