package stackfile

import (
	"strings"

	"github.com/orlop/orlop/spec/tree"
)

// findBases notes the services that are not active and that active ones, or
// other bases, are built from. Of them only the image counts.
func (v *validator) findBases() {
	v.bases = map[string]bool{}
	var visit func(s *tree.Node)
	visit = func(s *tree.Node) {
		contexts := s.Value("build").Value("additional_contexts")
		if contexts == nil {
			return
		}
		for _, c := range contexts.Fields {
			name, ok := strings.CutPrefix(c.Value.Text, "service:")
			base := v.disabled[name]
			if !ok || base == nil || base.Kind != tree.MapNode || v.bases[name] {
				continue
			}
			v.bases[name] = true
			v.buildDefaults(base)
			visit(base)
		}
	}
	for _, f := range v.services.Fields {
		visit(f.Value)
	}
}

// imagePart is the part of a base that counts.
func imagePart(s *tree.Node) *tree.Node {
	part := s.Mapping()
	for _, key := range []string{"build", "image", "pull_policy"} {
		if f := s.Field(key); f != nil {
			part.Set(*f)
		}
	}
	return part
}
