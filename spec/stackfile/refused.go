package stackfile

import (
	"fmt"

	"github.com/orlop/orlop/spec/tree"

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
