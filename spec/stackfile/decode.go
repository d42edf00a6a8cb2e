package stackfile

import (
	"maps"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/tree"
)

// decode fills the project from the checked tree. The tree is canonical, so
// that nothing can go wrong here: shapes and values were checked before.
func (v *validator) decode(p *spec.Project) {
	d := tree.NewDecoder()
	d.Decode(v.root, p)
	p.Name = v.name
	if p.Services == nil {
		p.Services = map[string]*spec.Service{}
	}
	for name, s := range p.Services {
		s.Name = name
	}
	for name, s := range p.Jobs {
		s.Name = name
	}
	off := maps.Clone(v.disabled)
	for _, f := range v.idle {
		off[f.Key] = f.Value
	}
	for name, n := range off {
		if n.Kind != tree.MapNode {
			continue
		}
		s := &spec.Service{Name: name}
		d.Decode(n, s)
		if p.Disabled == nil {
			p.Disabled = map[string]*spec.Service{}
		}
		p.Disabled[name] = s
		if v.bases[name] {
			if p.Bases == nil {
				p.Bases = map[string]*spec.Service{}
			}
			p.Bases[name] = s.ImageOnly()
		}
	}
	for name, secret := range p.Secrets {
		secret.Content = tree.TextAt(v.root.Value("secrets").Value(name), "content")
	}
}
