package e2e

import (
	"net/netip"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/orlop/orlop/e2e/lab"
)

// nameServer: nameserver NETNS ADDRESS ANSWER answers questions for addresses; see
// lab.NameServer.
func nameServer(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, args, 3, 3, "nameserver NETNS ADDRESS ANSWER")
	at, err := netip.ParseAddr(args[1])
	ts.Check(err)
	says, err := netip.ParseAddr(args[2])
	ts.Check(err)
	shut, err := lab.NameServer(args[0], at, says)
	ts.Check(err)
	ts.Defer(func() { ts.Check(shut()) })
}
