package fields

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
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
			for _, d := range Drifts("", decode(t, c.want), decode(t, c.have)) {
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
	before := Copy(body)
	got := Without(body, []string{`.spec.replicas`, `.spec.template.spec.containers[name="b"].image`, `.spec.template.spec.containers[name="b"].ports[containerPort=80,protocol="TCP"].protocol`})
	want := decode(t, `{"spec":{"template":{"spec":{"containers":[{"name":"a","image":"x"},{"name":"b","ports":[{"containerPort":80}]}]}}}}`)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("it is %v, want %v", got, want)
	}
	if !reflect.DeepEqual(body, before) {
		t.Error("the object itself was changed")
	}
	if v := LookUp(body, `.spec.template.spec.containers[name="b"].image`); v != "y" {
		t.Errorf("the field is %v, want y", v)
	}
}

func TestKeysMayHaveDots(t *testing.T) {
	body := decode(t, `{"metadata":{"annotations":{"prometheus.io/scrape":"true","prometheus":{"x":1}},"labels":{"a.b":"c"}}}`)
	if v := LookUp(body, `.metadata.annotations.prometheus.io/scrape`); v != "true" {
		t.Errorf("the annotation is %v", v)
	}
	got := Without(body, []string{`.metadata.annotations.prometheus.io/scrape`, `.metadata.labels.a.b`})
	if want := decode(t, `{"metadata":{"annotations":{"prometheus":{"x":1}},"labels":{}}}`); !reflect.DeepEqual(got, want) {
		t.Errorf("it is %v, want %v", got, want)
	}
}
