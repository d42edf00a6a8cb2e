// Package settingsfile reads the text of the engine's settings, with what is wrong in it
// in the words of who wrote it. It knows none of the settings.
package settingsfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"gopkg.in/yaml.v3"
)

// Decode reads the text of a file into a structure, which has a field for each key.
func Decode(path string, text []byte, into any) error {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(into); err != nil && !errors.Is(err, io.EOF) { // an empty file sets nothing
		return mistakes(path, err)
	}
	return nil
}

// The texts of yaml.v3, which name Go's types.
var (
	yamlUnknown = regexp.MustCompile(`^line (\d+): field (\S+) not found in type .*$`)
	yamlKind    = regexp.MustCompile("^line (\\d+): cannot unmarshal (\\S+)(?: `(.*)`)? into (.*)$")
	yamlSyntax  = regexp.MustCompile(`^yaml: line (\d+): (.*)$`)
)

// mistakes says what is wrong with the settings in the words of who wrote
// them, each mistake with its line.
func mistakes(path string, err error) error {
	wrong, ok := errors.AsType[*yaml.TypeError](err)
	if !ok {
		if m := yamlSyntax.FindStringSubmatch(err.Error()); m != nil {
			return fmt.Errorf("%s:%s: not valid YAML: %s", path, m[1], m[2])
		}
		return fmt.Errorf("%s: not valid YAML: %s", path, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	var all []string
	for _, text := range wrong.Errors {
		all = append(all, path+":"+mistake(text))
	}
	return errors.New(strings.Join(all, "\n"))
}

// mistake is "3: unknown key mirror".
func mistake(text string) string {
	if m := yamlUnknown.FindStringSubmatch(text); m != nil {
		return fmt.Sprintf("%s: unknown key %s: docs/engine.md lists what there is", m[1], m[2])
	}
	m := yamlKind.FindStringSubmatch(text)
	if m == nil {
		return " " + text
	}
	what := map[string]string{"!!map": "a mapping", "!!seq": "a list"}[m[2]]
	if what == "" {
		what = fmt.Sprintf("%q", m[3])
	}
	return fmt.Sprintf("%s: expected %s, not %s", m[1], yamlForm(m[4]), what)
}

// yamlForm is what a value of a Go type is called in YAML.
func yamlForm(kind string) string {
	switch {
	case kind == "bool":
		return "true or false"
	case strings.HasPrefix(kind, "[]"):
		return "a list"
	case strings.HasPrefix(kind, "map["), strings.HasPrefix(kind, "struct"), strings.Contains(kind, "."):
		return "a mapping"
	}
	return "a text"
}
