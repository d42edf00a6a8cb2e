package deploy

import (
	"reflect"
	"testing"

	"github.com/orlop/orlop/deploy/manifest"
	"github.com/orlop/orlop/spec"
)

func TestARevisionIsTheDocumentItWasMadeOf(t *testing.T) {
	log := "debug"
	p := &spec.Project{
		Name:     "shop",
		Services: map[string]*spec.Service{"web": {Name: "web", Image: "web:1", Environment: map[string]*string{"LOG": &log}, Extensions: map[string]any{"x-orlop": map[string]any{"publish": "nodeport"}}}},
		Volumes:  map[string]*spec.Volume{"data": {Name: "shop_data", Extensions: map[string]any{"x-orlop": map[string]any{"storage": "5Gi"}}}},
		Payloads: map[string]spec.Payload{"secrets.token": {Content: []byte{0, 255}, Secret: true}},
	}
	d := NewDocument(p, nil)
	d.Images["services.web"] = "r/web@sha256:1"
	data, err := d.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := DecodeDocument(data)
	if err != nil {
		t.Fatal(err)
	}
	for what, pair := range map[string][2]any{
		"environment": {*again.Project.Services["web"].Environment["LOG"], "debug"},
		"x-orlop":     {again.Project.Services["web"].Extensions["x-orlop"], p.Services["web"].Extensions["x-orlop"]},
		"storage":     {again.Project.Volumes["data"].Extensions["x-orlop"], p.Volumes["data"].Extensions["x-orlop"]},
		"secret":      {again.Project.Payloads["secrets.token"], p.Payloads["secrets.token"]},
		"image":       {again.Images["services.web"], "r/web@sha256:1"},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s is %v, want %v", what, pair[0], pair[1])
		}
	}
	if diffs := Differences(d, again); len(diffs) != 0 {
		t.Errorf("it differs from itself: %v", diffs)
	}
	log2 := "info"
	again.Project.Services["web"].Environment["LOG"] = &log2
	if diffs := Differences(d, again); len(diffs) != 1 || diffs[0].String() != `services.web.environment.LOG: "debug" -> "info"` {
		t.Errorf("the differences are %v", diffs)
	}
	if _, err := DecodeDocument([]byte("no archive")); err == nil {
		t.Error("a damaged revision was read")
	}
}

// TestARevisionKeepsFilesOfInitContainers: its objects can be made again when the files are gone.
func TestARevisionKeepsFilesOfInitContainers(t *testing.T) {
	mount := spec.Mount{Type: spec.MountBind, Source: "/src/init.conf", Target: "/init.conf", ReadOnly: true}
	project := &spec.Project{Name: "demo", Services: map[string]*spec.Service{"web": {Name: "web", Image: "web:1", PreStart: []*spec.Service{{Image: "web:1", Volumes: []spec.Mount{mount}}}}}}
	kept := func(content string) *Document {
		t.Helper()
		data, err := NewDocument(project, func(string) (*manifest.File, error) {
			return &manifest.File{Mode: 0o644, Content: []byte(content)}, nil
		}).Encode()
		if err != nil {
			t.Fatal(err)
		}
		d, err := DecodeDocument(data)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	was, is := kept("old"), kept("new")
	if _, found := was.Set(nil); len(found.Errors()) > 0 {
		t.Error(found.Errors())
	}
	is.Project.WorkingDir = "/src"
	why := contents("services.web", is.Project.Services["web"], was, is, spec.PlacesOf(map[string]spec.Place{"services.web": {File: "s.yaml", Line: 3}}))
	if len(why) != 1 || why[0].Text != "./init.conf: its content changed" || why[0].Place.Line != 3 {
		t.Errorf("the reasons for another content are %v", why)
	}
}

func TestTheLargestFileIsNamed(t *testing.T) {
	d := &Document{Files: map[string]File{"configs.a": {Content: make([]byte, 2<<10)}, "secrets.b": {Content: make([]byte, 5<<10)}}}
	if got := d.largest(); got != "secrets.b (5 KB)" {
		t.Errorf("%s is the largest", got)
	}
}
