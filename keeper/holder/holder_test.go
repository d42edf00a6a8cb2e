package holder

import (
	"net/netip"
	"slices"
	"testing"
)

// TestWhoListensForSCTP: by the kernel's table of endpoints.
func TestWhoListensForSCTP(t *testing.T) {
	const table = ` ENDPT     SOCK   STY SST HBKT LPORT   UID INODE LADDRS
ffff8880 ffff8881 2   10  60   3868      0 11111 0.0.0.0
ffff8880 ffff8881 2   1   60   3868      0 22222 127.0.0.1
ffff8880 ffff8881 2   10  60   3868      0 33333 10.0.0.1 10.0.0.2
ffff8880 ffff8881 2   10  61   3869      0 44444 0.0.0.0
`
	for at, want := range map[string][]string{
		"10.0.0.2:3868": {"11111", "33333"}, "10.0.0.3:3868": {"11111"}, "0.0.0.0:3868": {"11111", "33333"}, "10.0.0.3:3869": {"44444"}, "10.0.0.3:1": nil,
	} {
		if got := endpoints([]byte(table), "sctp", netip.MustParseAddrPort(at)); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", at, got, want)
		}
	}
}
