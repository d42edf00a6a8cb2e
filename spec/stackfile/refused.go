package stackfile

import (
	"fmt"
	"strings"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/schema"
)

// refusedKeys complains of keys without which the outcome would be wrong: of
// a service, or of a network, volume, secret or config that a service uses.
// What is empty says nothing.
func (v *validator) refusedKeys(f field, keys []schema.Key, path string) {
	if f.value.kind != mapNode {
		return
	}
	for _, k := range keys {
		given := f.value.field(k.Name)
		if k.Level != schema.Refused || given == nil || given.value.saysNothing() {
			continue
		}
		v.l.fail(&node{at: given.at, width: given.width}, path, fmt.Sprintf("%q is not supported yet, and the outcome would be wrong without it", k.Name), k.Note)
	}
}

// recursive complains of bind mounts whose mounts below are not to be seen, or
// not to be written to: they would be.
func (v *validator) recursive(service *node, path string) {
	volumes := service.value("volumes")
	if volumes == nil {
		return
	}
	hints := map[string]string{
		spec.RecursiveDisabled: "name the directories below it that are wanted, each as a mount of its own",
		spec.RecursiveReadOnly: "name the mounts below it too, each with read_only: true",
	}
	for i, m := range volumes.items {
		given := m.value("bind").value("recursive")
		if given == nil {
			continue
		}
		if hint, isRefused := hints[given.text]; isRefused {
			v.l.fail(given, indexed(path+".volumes", i)+".bind.recursive",
				fmt.Sprintf("%q is not supported yet: what is mounted below comes too, and can be written to", given.text), hint)
		}
	}
}

// bridgeOptions complains of options of Docker's bridge driver that close a
// network to somebody, and takes the options away.
func (v *validator) bridgeOptions(network *node, isUsed bool, path string) {
	options := network.value("driver_opts")
	network.remove("driver_opts")
	if options == nil || !isUsed {
		return
	}
	for _, f := range options.fields {
		option, isBridge := strings.CutPrefix(f.key, "com.docker.network.bridge.")
		if !isBridge || f.value.saysNothing() {
			continue
		}
		isOff, _ := spec.ParseFlag(f.value.text)
		hint := ""
		switch {
		case option == "host_binding_ipv4" && f.value.text != "0.0.0.0":
			hint = "write the address before the ports: " + f.value.text + ":8080:80"
		case option == "enable_icc" && isOff == "false":
			hint = "give services that are not to reach each other networks of their own"
		case option == "enable_ip_masquerade" && isOff == "false":
			hint = "write internal: true for a network without a way out"
		default:
			continue
		}
		v.l.fail(&node{at: f.at, width: f.width}, path+".driver_opts",
			fmt.Sprintf("%q is not supported yet, and the network would be more open without it", f.key), hint)
	}
}

// saysNothing says whether a value is empty, or holds only what is.
func (n *node) saysNothing() bool {
	for _, f := range n.fields {
		if !f.value.saysNothing() {
			return false
		}
	}
	for _, item := range n.items {
		if !item.saysNothing() {
			return false
		}
	}
	return n.text == ""
}
