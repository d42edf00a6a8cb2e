package stackfile

import "strings"

// findBases notes the services that are not active and that active ones, or
// other bases, are built from. Of them only the image counts.
func (v *validator) findBases() {
	v.bases = map[string]bool{}
	var visit func(s *node)
	visit = func(s *node) {
		contexts := s.value("build").value("additional_contexts")
		if contexts == nil {
			return
		}
		for _, c := range contexts.fields {
			name, ok := strings.CutPrefix(c.value.text, "service:")
			base := v.disabled[name]
			if !ok || base == nil || base.kind != mapNode || v.bases[name] {
				continue
			}
			v.bases[name] = true
			v.buildDefaults(base)
			visit(base)
		}
	}
	for _, f := range v.services.fields {
		visit(f.value)
	}
}

// imagePart is the part of a base that counts.
func imagePart(s *node) *node {
	part := s.mapping()
	for _, key := range []string{"build", "image", "pull_policy"} {
		if f := s.field(key); f != nil {
			part.set(*f)
		}
	}
	return part
}
