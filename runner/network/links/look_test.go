package links

import (
	"os/exec"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A look has each link as the library reads it.
func TestALookHasEveryLink(t *testing.T) {
	runtime.LockOSThread() // and so the thread ends with the test, and its namespace with it
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skip("SKIPPED: cannot make a network namespace: ", err)
	}
	for _, args := range [][]string{
		{"link", "add", "br0", "type", "bridge"}, {"link", "set", "br0", "up"},
		{"link", "add", "v0", "type", "veth", "peer", "name", "fifteenletters1"},
		{"link", "set", "v0", "master", "br0", "up"},
	} {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	look, err := At(h)
	if err != nil {
		t.Fatal(err)
	}
	list, err := h.LinkList()
	if err != nil || len(list) != len(look.Links) {
		t.Fatalf("it has %d links, want %d (%v)", len(look.Links), len(list), err)
	}
	for _, l := range list {
		a := l.Attrs()
		want := Link{Index: a.Index, Master: a.MasterIndex, IsUp: a.Flags&unix.IFF_UP != 0}
		if got, ok := look.Links[a.Name]; !ok || got != want {
			t.Errorf("%s is %+v, %t; want %+v", a.Name, got, ok, want)
		}
	}
	if look.Links["v0"].Master != look.Links["br0"].Index || look.Links["fifteenletters1"].IsUp {
		t.Errorf("the links are %+v", look.Links)
	}
}
