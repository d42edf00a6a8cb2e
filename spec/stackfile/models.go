package stackfile

import (
	"fmt"
	"strings"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/tree"
)

// models checks that each model says what it is.
func (v *validator) models() {
	models := v.root.Value("models")
	if models == nil || models.Kind != tree.MapNode {
		return
	}
	for _, f := range models.Fields {
		if f.Value.Kind == tree.MapNode && tree.TextAt(f.Value, "model") == "" {
			v.l.Fail(&tree.Node{At: f.At, Width: f.Width}, "models."+f.Key, "model is missing", "write model: and the name of the model to run")
		}
		if n := f.Value.Value("model"); n != nil && strings.HasPrefix(n.Text, "-") {
			v.l.Fail(n, "models."+f.Key+".model", fmt.Sprintf("%q is not the name of a model", spec.Shorten(n.Text)), "a name begins with a letter")
		}
	}
}
