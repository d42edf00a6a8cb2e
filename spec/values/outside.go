package values

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/tree"
)

// outside checks a network whose containers are beside the machine, on a network that
// one of its links leads to.
func (c checker) outside(n *tree.Node, driver, path string, has Families) {
	options := n.Value("driver_opts")
	if tree.TextAt(n, "internal") == "true" {
		c.Fail(n.Value("internal"), path+".internal", "a "+driver+" is outside of this machine, which can't close it", "remove it, or write driver: bridge")
	}
	parent := options.Value(spec.OptParent)
	if parent == nil || parent.Kind != tree.ScalarNode || parent.Text == "" {
		at := n.Field("driver")
		c.Fail(&tree.Node{At: at.At, Width: at.Width}, path, "a "+driver+" needs the link of this machine that leads to its network",
			"write driver_opts: {parent: eth0}; for a network of its own driver: bridge")
	} else {
		c.parent(parent, path+".driver_opts."+spec.OptParent)
	}
	if options == nil || options.Kind != tree.MapNode {
		return
	}
	known := spec.OutsideOptions(driver)
	for _, f := range options.Fields {
		words, isKnown := known[f.Key]
		at := path + ".driver_opts." + f.Key
		switch {
		case !isKnown:
			key := &tree.Node{At: f.At, Width: f.Width}
			c.Fail(key, path+".driver_opts", fmt.Sprintf("%q is no option of a %s", spec.Shorten(f.Key), driver), spec.DidYouMean(f.Key, slices.Collect(maps.Keys(known))))
		case f.Value.Kind != tree.ScalarNode || f.Value.Text == "":
		case len(words) > 0 && !slices.Contains(words, f.Value.Text):
			c.Fail(f.Value, at, fmt.Sprintf("%q is not one of %s", spec.Shorten(f.Value.Text), strings.Join(words, ", ")), spec.DidYouMean(f.Value.Text, words))
		case f.Key == spec.OptMTU || f.Key == spec.OptInterfacePrefix:
			c.networkOption(f, path+".driver_opts", has)
		}
	}
}

// parent checks the name of a link of the machine; eth0.10 is VLAN 10 of eth0.
func (c checker) parent(n *tree.Node, at string) {
	if why := BadInterface(strings.Replace(n.Text, ".", "", 1)); why != "" || len(n.Text) > maxInterface || n.Text == "lo" {
		c.Fail(n, at, fmt.Sprintf("%q is not the name of a link that leads to a network", spec.Shorten(n.Text)), "write one such as eth0, or eth0.10 for its VLAN 10")
	}
}
