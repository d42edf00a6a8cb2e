package tree

import (
	"strings"

	"github.com/orlop/orlop/spec/schema"
)

// PresentName is the name that a key has now: what was an extension ("x-...")
// before the specification adopted it is still read.
func PresentName(name string, keys []schema.Key) string {
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

// Take adds a field. One that stands there by its former and its present name
// is merged, and what the present one says wins.
func (n *Node) Take(f Field, isFormer bool, k *schema.Key) {
	old := n.Field(f.Key)
	switch {
	case old == nil:
		n.Fields = append(n.Fields, f)
	case isFormer:
		old.Value = Merge(f.Value, old.Value, k)
	default:
		f.Value = Merge(old.Value, f.Value, k)
		*old = f
	}
}
