package stackfile

import (
	"fmt"

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
		if k.Level != schema.Refused || given == nil || given.Value.SaysNothing() {
			continue
		}
		v.l.Fail(&tree.Node{At: given.At, Width: given.Width}, path, fmt.Sprintf("%q is not supported yet, and the outcome would be wrong without it", k.Name), k.Note)
	}
}

// recursive complains of bind mounts whose mounts below are not to be seen, or
// not to be written to: they would be.
func (v *validator) recursive(service *tree.Node, path string) {
	volumes := service.Value("volumes")
	if volumes == nil {
		return
	}
	hints := map[string]string{
		spec.RecursiveDisabled: "name the directories below it that are wanted, each as a mount of its own",
		spec.RecursiveReadOnly: "name the mounts below it too, each with read_only: true",
	}
	for i, m := range volumes.Items {
		given := m.Value("bind").Value("recursive")
		if given == nil {
			continue
		}
		if hint, isRefused := hints[given.Text]; isRefused {
			v.l.Fail(given, tree.Indexed(path+".volumes", i)+".bind.recursive",
				fmt.Sprintf("%q is not supported yet: what is mounted below comes too, and can be written to", given.Text), hint)
		}
	}
}
