package builder

import (
	"maps"
	"testing"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// TestTheCommandLineOverTheStackFile: the stack file's own build is left as it is.
func TestTheCommandLineOverTheStackFile(t *testing.T) {
	key := "/key"
	said := &spec.Build{Context: "/src", Provenance: "true", SSH: map[string]*string{"default": nil}}
	p := &spec.Project{Services: map[string]*spec.Service{"web": {Build: said}, "db": {}}}
	if over := (Over{}).Build(said); over != said {
		t.Error("nothing makes another build")
	}
	o := Over{Provenance: "mode=max", SBOM: "true", SSH: map[string]*string{"mine": &key}}
	with := o.Project(p).Services["web"].Build
	if with.Provenance != "mode=max" || with.SBOM != "true" || len(with.SSH) != 2 || *with.SSH["mine"] != key || with.Context != "/src" {
		t.Errorf("the build is %+v", with)
	}
	if said.Provenance != "true" || len(said.SSH) != 1 || p.Services["web"].Build != said {
		t.Errorf("the stack file's own became %+v", said)
	}
	for name, c := range map[string]struct {
		over Over
		want map[string]string
	}{
		"another":          {o, map[string]string{"--provenance": "mode=max", "--sbom": "true"}},
		"the same":         {Over{Provenance: "true"}, nil},
		"a key alone":      {Over{SSH: o.SSH}, nil},
		"without the list": {Over{SBOM: "false"}, map[string]string{"--sbom": "false"}},
	} {
		in := &planner.Inputs{}
		if c.over.note(in, said); !maps.Equal(in.Given, c.want) {
			t.Errorf("%s: noted are %v", name, in.Given)
		}
	}
}
