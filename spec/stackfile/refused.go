package stackfile

import (
	"fmt"
	"strings"

	"github.com/orlop/orlop/spec/tree"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/schema"
)

// refusedKeys complains of keys without which the outcome would be wrong: of
// a service, or of a network, volume, secret or config that a service uses.
// What is empty says nothing.
func (v *validator) refusedKeys(f tree.Field, keys []schema.Key, path string) {
	if f.Value.Kind != tree.MapNode {
		return
	}
	for _, k := range keys {
		given := f.Value.Field(k.Name)
		if k.Level != schema.Refused || given == nil || given.Value.SaysNothing() || k.Shape == schema.Boolean && given.Value.Text == "false" {
			continue
		}
		v.l.Fail(&tree.Node{At: given.At, Width: given.Width}, path, fmt.Sprintf("%q is not supported yet, and the outcome would be wrong without it", k.Name), k.Note)
	}
}

// bridgeOptions complains of options of Docker's bridge driver that close a
// network to somebody, and takes the options away.
func (v *validator) bridgeOptions(network *tree.Node, isUsed bool, path string) {
	options := network.Value("driver_opts")
	network.Remove("driver_opts")
	if options == nil || !isUsed {
		return
	}
	for _, f := range options.Fields {
		option, isBridge := strings.CutPrefix(f.Key, "com.docker.network.bridge.")
		if !isBridge || f.Value.SaysNothing() {
			continue
		}
		isOff, _ := spec.ParseFlag(f.Value.Text)
		hint := ""
		switch {
		case option == "host_binding_ipv4" && f.Value.Text != "0.0.0.0":
			hint = "write the address before the ports: " + f.Value.Text + ":8080:80"
		case option == "enable_icc" && isOff == "false":
			hint = "give services that are not to reach each other networks of their own"
		case option == "enable_ip_masquerade" && isOff == "false":
			hint = "write internal: true for a network without a way out"
		default:
			continue
		}
		v.l.Fail(&tree.Node{At: f.At, Width: f.Width}, path+".driver_opts",
			fmt.Sprintf("%q is not supported yet, and the network would be more open without it", f.Key), hint)
	}
}
