package deploy

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/orlop/orlop/spec"
)

func decode(t *testing.T, text string) map[string]any {
	t.Helper()
	var out map[string]any
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestDriftsAreFieldsThatAreWantedOtherwise(t *testing.T) {
	for name, c := range map[string]struct{ want, have, drifts string }{
		"equal":              {`{"a":1,"b":{"c":"x"}}`, `{"a":1.0,"b":{"c":"x"}}`, ""},
		"added by others":    {`{"a":1}`, `{"a":1,"status":{"x":1}}`, ""},
		"changed":            {`{"spec":{"replicas":2}}`, `{"spec":{"replicas":5}}`, "spec.replicas: 5 -> 2"},
		"gone":               {`{"spec":{"replicas":2}}`, `{"spec":{}}`, "spec.replicas: unset -> 2"},
		"an injected one":    {`{"c":[{"name":"web","image":"a"}]}`, `{"c":[{"name":"proxy"},{"name":"web","image":"a","x":1}]}`, ""},
		"of a named entry":   {`{"c":[{"name":"web","image":"a"}]}`, `{"c":[{"name":"proxy"},{"name":"web","image":"b"}]}`, `c[name="web"].image: "b" -> "a"`},
		"a missing entry":    {`{"c":[{"name":"web"}]}`, `{"c":[]}`, `c[name="web"]: unset -> {"name":"web"}`},
		"another order":      {`{"args":["a","b"]}`, `{"args":["b","a"]}`, `args[0]: "b" -> "a", args[1]: "a" -> "b"`},
		"more in a list":     {`{"args":["a"]}`, `{"args":["a","b"]}`, `args: ["a","b"] -> ["a"]`},
		"empty is not there": {`{"value":"","on":false}`, `{}`, ""},
		"empty mapping":      {`{"dir":{}}`, `{}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, d := range drifts("", decode(t, c.want), decode(t, c.have)) {
				got = append(got, d.String())
			}
			if text := strings.Join(got, ", "); text != c.drifts {
				t.Errorf("drifts are %q, want %q", text, c.drifts)
			}
		})
	}
}

func TestFieldsThatOthersHoldAreLeftOut(t *testing.T) {
	body := decode(t, `{"spec":{"replicas":2,"template":{"spec":{"containers":[{"name":"a","image":"x"},{"name":"b","image":"y","ports":[{"containerPort":80,"protocol":"TCP"}]}]}}}}`)
	before := deepCopy(body)
	got := without(body, []string{`.spec.replicas`, `.spec.template.spec.containers[name="b"].image`, `.spec.template.spec.containers[name="b"].ports[containerPort=80,protocol="TCP"].protocol`})
	want := decode(t, `{"spec":{"template":{"spec":{"containers":[{"name":"a","image":"x"},{"name":"b","ports":[{"containerPort":80}]}]}}}}`)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("it is %v, want %v", got, want)
	}
	if !reflect.DeepEqual(body, before) {
		t.Error("the object itself was changed")
	}
	if v := lookUp(body, `.spec.template.spec.containers[name="b"].image`); v != "y" {
		t.Errorf("the field is %v, want y", v)
	}
}

func TestKeysMayHaveDots(t *testing.T) {
	body := decode(t, `{"metadata":{"annotations":{"prometheus.io/scrape":"true","prometheus":{"x":1}},"labels":{"a.b":"c"}}}`)
	if v := lookUp(body, `.metadata.annotations.prometheus.io/scrape`); v != "true" {
		t.Errorf("the annotation is %v", v)
	}
	got := without(body, []string{`.metadata.annotations.prometheus.io/scrape`, `.metadata.labels.a.b`})
	if want := decode(t, `{"metadata":{"annotations":{"prometheus":{"x":1}},"labels":{}}}`); !reflect.DeepEqual(got, want) {
		t.Errorf("it is %v, want %v", got, want)
	}
}

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
