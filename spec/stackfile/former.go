package stackfile

import (
	"strings"

	"github.com/orlop/orlop/spec/schema"
)

// presentName is the name that a key has now: what was an extension ("x-...")
// before the specification adopted it is still read.
func presentName(name string, keys []schema.Key) string {
	if !strings.HasPrefix(name, "x-") {
		return name
	}
	for i := range keys {
		if keys[i].Former == name {
			return keys[i].Name
		}
	}
	return name
}

// take adds a field. One that stands there by its former and its present name
// is merged, and what the present one says wins.
func (n *node) take(f field, isFormer bool, k *schema.Key) {
	old := n.field(f.key)
	switch {
	case old == nil:
		n.fields = append(n.fields, f)
	case isFormer:
		old.value = merge(f.value, old.value, k)
	default:
		f.value = merge(old.value, f.value, k)
		*old = f
	}
}
