package spec

import "fmt"

// refusedKeys complains of keys without which the outcome would be wrong: of
// a service, or of a network, volume, secret or config that a service uses.
// What is empty says nothing.
func (v *validator) refusedKeys(f field, keys []key, path string) {
	if f.value.kind != mapNode {
		return
	}
	for _, k := range keys {
		given := f.value.field(k.name)
		if k.level != refused || given == nil || given.value.saysNothing() {
			continue
		}
		v.l.fail(&node{at: given.at, width: given.width}, path, fmt.Sprintf("%q is not carried out yet, and the outcome would be wrong without it", k.name), k.note)
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
