package builder

import (
	"maps"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// Over is what a command line says of builds over the stack file.
type Over struct {
	Provenance string             `json:"provenance,omitempty"`
	SBOM       string             `json:"sbom,omitempty"`
	SSH        map[string]*string `json:"ssh,omitempty"` // beside those of the stack file: ID -> path; nil: the caller's agent
}

// Build is a build with it.
func (o Over) Build(b *spec.Build) *spec.Build {
	if b == nil || o.Provenance == "" && o.SBOM == "" && len(o.SSH) == 0 {
		return b
	}
	own := *b
	if o.Provenance != "" {
		own.Provenance = o.Provenance
	}
	if o.SBOM != "" {
		own.SBOM = o.SBOM
	}
	if len(o.SSH) > 0 {
		own.SSH = maps.Clone(b.SSH)
		if own.SSH == nil {
			own.SSH = map[string]*string{}
		}
		maps.Copy(own.SSH, o.SSH)
	}
	return &own
}

// Project is a project whose builds have it.
func (o Over) Project(p *spec.Project) *spec.Project {
	own := *p
	for _, all := range []*map[string]*spec.Service{&own.Services, &own.Jobs, &own.Bases} {
		changed := maps.Clone(*all)
		for name, s := range changed {
			if build := o.Build(s.Build); build != s.Build {
				with := *s
				with.Build = build
				changed[name] = &with
			}
		}
		*all = changed
	}
	return &own
}

// note notes what an image has of the command line: it holds for the build that it was
// given for. Keys make no image another.
func (o Over) note(in *planner.Inputs, b *spec.Build) {
	for flag, value := range map[string][2]string{"--provenance": {o.Provenance, b.Provenance}, "--sbom": {o.SBOM, b.SBOM}} {
		if value[0] == "" || value[0] == value[1] {
			continue
		}
		if in.Given == nil {
			in.Given = map[string]string{}
		}
		in.Given[flag] = value[0]
	}
}
