package stackfile

import (
	"maps"
	"strings"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/tree"
)

// places are those of all values of the project, and of the files that it names.
func (v *validator) places() spec.Places {
	return spec.PlacesLater(func() map[string]spec.Place {
		all := make(map[string]spec.Place, v.l.values)
		locate(all, v.root, "")
		for name, n := range v.disabled {
			if path := "services." + name; n.Kind == tree.MapNode {
				all[path] = n.At
				locate(all, n, path)
			}
		}
		maps.Copy(all, v.l.readPlaces)
		return all
	})
}

// locate adds the places of what is in a value: of an entry of a mapping where a user
// looks for it, at its value if that is of one line, else at its key.
func locate(all map[string]spec.Place, n *tree.Node, path string) {
	note := func(value *tree.Node, at spec.Place, path string) {
		if at.Line > 0 {
			all[path] = at
		}
		locate(all, value, path)
	}
	for _, f := range n.Fields {
		switch at := tree.Join(path, f.Key); {
		case strings.HasPrefix(f.Key, "x-") && !strings.HasPrefix(f.Key, ownKey):
		case f.Value.Kind != tree.ScalarNode && f.At.Line > 0:
			note(f.Value, f.At, at)
		default:
			note(f.Value, f.Value.At, at)
		}
	}
	for i, item := range n.Items {
		note(item, item.At, tree.Indexed(path, i))
	}
}
