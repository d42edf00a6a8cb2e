package spec

import "testing"

// Writing what holds anyhow makes no other network.
func TestWhatANetworkIsByItselfIsNoOption(t *testing.T) {
	for _, c := range []struct {
		driver string
		opts   map[string]string
		want   int
	}{
		{DriverMacvlan, map[string]string{OptParent: "eth0", OptMacvlanMode: "bridge"}, 1},
		{DriverMacvlan, map[string]string{OptParent: "eth0", OptMacvlanMode: "vepa"}, 2},
		{DriverIPvlan, map[string]string{OptParent: "eth0", OptIPvlanMode: "l2", OptIPvlanFlag: "bridge"}, 1},
		{DriverIPvlan, map[string]string{OptParent: "eth0", OptIPvlanMode: "l3", OptIPvlanFlag: "private"}, 3},
		{DriverBridge, map[string]string{OptICC: "true", OptHostBinding: "0.0.0.0"}, 0},
	} {
		n := Network{Driver: c.driver, DriverOpts: c.opts}
		if got := n.Effective(); len(got) != c.want {
			t.Errorf("%s with %v: %v", c.driver, c.opts, got)
		}
	}
}
