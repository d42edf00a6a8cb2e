package yamlfile

import (
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

type document struct {
	Hosts   map[string]host `yaml:"hosts"`
	Names   []string        `yaml:"names"`
	Version int             `yaml:"version"`
}

type host struct {
	HTTP    bool     `yaml:"http"`
	Mirrors []string `yaml:"mirrors"`
}

// valid are documents that yaml.v3 decodes.
var valid = []string{
	"",
	"# nothing\n",
	"hosts:\n",
	"hosts: {a: {http: true}, b: {http: off}, c: {http: yes}, d: {http: \"no\"}, e: {http: ~}}\n",
	"hosts: {a: &a {http: yes}, b: *a, c: {<<: *a, mirrors: [m]}}\n",
	"hosts: {a: &a {http: yes}, b: &b {mirrors: [m]}, c: {<<: [*a, *b]}, d: {<<: {http: no}}}\n",
	"hosts: {a: {<<: {http: [what is overridden is not looked at]}, http: true}}\n",
	"hosts: {<<: {a: {http: true}}, b: {}}\n",
	"<<: {version: 1}\nnames: [1, true, x]\n",
	"version: 3.0\n",
	"version: 0x10\n",
	"names: [&n hosts]\n*n : {a: {http: true}}\n",
}

func byYAML(text []byte, into any) error {
	if err := decode(text, into); !errors.Is(err, io.EOF) { // an empty file sets nothing
		return err
	}
	return nil
}

// TestWhatYAMLDecodesIsAccepted: a file that was valid yesterday is so today.
func TestWhatYAMLDecodesIsAccepted(t *testing.T) {
	for _, text := range valid {
		checkAsYAML(t, []byte(text), true)
	}
}

// checkAsYAML holds Decode against yaml.v3.
func checkAsYAML(t *testing.T, text []byte, isValid bool) {
	var want, got document
	wrong := byYAML(text, &want)
	if isValid && wrong != nil {
		t.Fatalf("%q is not valid: %v", text, wrong)
	}
	_, err := Decode("f", text, &got)
	if (wrong == nil) != (err == nil) || wrong == nil && !reflect.DeepEqual(got, want) {
		t.Errorf("%q\n got %+v, %v\nwant %+v, %v", text, got, err, want, wrong)
	}
	// What the checker would say of a document without a mistake it would say beside one.
	var doc yaml.Node
	if wrong == nil && yaml.Unmarshal(text, &doc) == nil && len(doc.Content) > 0 {
		c := checker{file: &File{path: "f"}, merging: map[*yaml.Node]bool{}}
		if c.value(doc.Content[0], reflect.TypeFor[document](), ""); isValid && len(c.wrong) > 0 {
			t.Errorf("%q: %v", text, c.wrong)
		}
	}
}

func TestMistakesAreToldWithWhatIsMerged(t *testing.T) {
	for text, want := range map[string]string{
		"hosts: {a: &a {htp: yes}, b: {<<: *a, mirrors: m}}\n": `f:1:16: hosts.a: unknown key "htp": did you mean "http"?` + "\n" +
			`f:1:48: hosts.b.mirrors: expected a list, not "m"` + "\n" + `f:1:16: hosts.b: unknown key "htp": did you mean "http"?`,
		"hosts: {a: {http: yes}, b: {http: maybe}}\n": `f:1:35: hosts.b.http: expected true or false, not "maybe"`,
		"hosts: {a: {<<: [x]}}\n":                     `f:1:18: hosts.a.<<: expected a mapping, not "x"`,
		"hosts: {a: {<<: {}, <<: {}}}\n":              `f:1:21: hosts.a: key "<<" is given twice`,
		"hosts: {a: &a {<<: *a}}\n":                   `f: not valid YAML: anchor 'a' value contains itself`,
		"hosts: {<<: {}, ? [a] : {}}\n":               `f: not valid YAML: a key is a list or a mapping, next to a <<`,
		"version: 1.5x\n":                             `f:1:10: version: expected a number, not "1.5x"`,
	} {
		var doc document
		if _, err := Decode("f", []byte(text), &doc); err == nil || err.Error() != want {
			t.Errorf("%q\n got %v\nwant %s", text, err, want)
		}
	}
}

// FuzzDecode: what yaml.v3 decodes is accepted, with the same values, and nothing else is.
func FuzzDecode(f *testing.F) {
	for _, text := range valid {
		f.Add([]byte(text))
	}
	f.Add([]byte("hosts: &a {<<: [*a, {b: *a}], ? [] : 1}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if strings.Count(string(text), "*") > 50 {
			t.Skip("bombs of aliases")
		}
		checkAsYAML(t, text, false)
	})
}
