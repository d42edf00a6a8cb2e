package stackfile

import (
	"fmt"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/schema"
	"github.com/orlop/orlop/spec/tree"
)

// refusedKeys complains of keys without which the outcome would be wrong: of
// a service, or of a network, volume, secret or config that a service uses.
// What is empty says nothing.
func (v *validator) refusedKeys(f tree.Field, keys []schema.Key, path string) {
	if f.Value.Kind != tree.MapNode {
		return
	}
	for i := range keys {
		k := &keys[i]
		if k.Level != schema.Refused {
			continue
		}
		given := f.Value.Field(k.Name)
		if given == nil || given.Value.SaysNothing() || k.Shape == schema.Boolean && given.Value.Text == "false" {
			continue
		}
		v.l.Fail(&tree.Node{At: given.At, Width: given.Width}, path, fmt.Sprintf("%q is not supported, and the outcome would be wrong without it", k.Name), k.Note)
	}
}

// templateDriver complains of a driver of templates that there is none of.
func (v *validator) templateDriver(n *tree.Node, path string) {
	const golang = "golang"
	if driver := n.Value("template_driver"); driver != nil && driver.Kind == tree.ScalarNode && driver.Text != "" && driver.Text != golang {
		v.l.Fail(driver, path+".template_driver", fmt.Sprintf("%q is no driver of templates", spec.Shorten(driver.Text)), "write "+golang)
	}
}
