package e2e

import (
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/orlop/orlop/e2e/lab"
)

// spoof: spoof NETNS ADDRESS... claims addresses by ARP; see lab.Spoof.
func spoof(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, args, 2, 9, "spoof NETNS ADDRESS...")
	ts.Check(lab.Spoof(args[0], args[1:]))
}
