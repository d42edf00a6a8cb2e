// Package yamlfile reads small files of ours that people write or mend, with what is wrong
// in one in the words of who wrote it. It knows none of their keys.
package yamlfile

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"gopkg.in/yaml.v3"

	"github.com/orlop/orlop/spec"
)

// File is a file that was read: it knows where its values stand.
type File struct {
	path string
	root *yaml.Node // nil of an empty one
}

// Decode reads the text of a file into a structure, which has a field for each key. With
// mistakes in its form comes what could be read all the same; no File of what is not YAML.
func Decode(path string, text []byte, into any) (*File, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, syntax(path, err)
	}
	f := &File{path: path}
	if len(doc.Content) == 0 || isNull(doc.Content[0]) { // an empty file sets nothing
		return f, nil
	}
	f.root = doc.Content[0]
	c := checker{file: f}
	c.value(f.root, reflect.TypeOf(into).Elem(), "")
	err := f.root.Decode(into)
	if len(c.wrong) > 0 {
		return f, errors.Join(c.wrong...)
	}
	if err != nil {
		return f, syntax(path, err)
	}
	return f, nil
}

// At is where the value of a key stands, or the closest one around it:
// "engine.yaml:3:5". The elements of a list are keys by their index.
func (f *File) At(keys ...string) string {
	n := f.root
	if n == nil {
		return f.path
	}
	for _, key := range keys {
		inner := child(resolved(n), key)
		if inner == nil {
			break
		}
		n = inner
	}
	return f.place(n)
}

func (f *File) place(n *yaml.Node) string { return fmt.Sprintf("%s:%d:%d", f.path, n.Line, n.Column) }

// child is the value of a key of a mapping, or of an index of a list; nil if there is none.
func child(n *yaml.Node, key string) *yaml.Node {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				return n.Content[i+1]
			}
		}
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(key); err == nil && i >= 0 && i < len(n.Content) {
			return n.Content[i]
		}
	}
	return nil
}

func resolved(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// checker holds a document against the type that it is to be.
type checker struct {
	file  *File
	wrong []error
}

func (c *checker) fail(n *yaml.Node, key, format string, args ...any) {
	if key != "" {
		key += ": "
	}
	c.wrong = append(c.wrong, fmt.Errorf("%s: %s%s", c.file.place(n), key, fmt.Sprintf(format, args...)))
}

// value checks a value, whose key is that as it is written with those around it.
func (c *checker) value(at *yaml.Node, t reflect.Type, key string) {
	n := resolved(at)
	if isNull(n) || reflect.PointerTo(t).Implements(reflect.TypeFor[yaml.Unmarshaler]()) {
		if n.Kind != yaml.ScalarNode {
			c.fail(at, key, "expected a text, not %s", written(n))
		}
		return
	}
	isBad := false
	switch t.Kind() {
	case reflect.Struct:
		if isBad = n.Kind != yaml.MappingNode; !isBad {
			c.twice(n, key)
			c.fields(n, t, key)
		}
	case reflect.Map:
		if isBad = n.Kind != yaml.MappingNode; !isBad {
			c.twice(n, key)
			for i := 0; i+1 < len(n.Content); i += 2 {
				c.value(n.Content[i+1], t.Elem(), joined(key, n.Content[i].Value))
			}
		}
	case reflect.Slice:
		if isBad = n.Kind != yaml.SequenceNode; !isBad {
			for i, item := range n.Content {
				c.value(item, t.Elem(), fmt.Sprintf("%s[%d]", key, i))
			}
		}
	case reflect.Bool:
		isBad = n.Kind != yaml.ScalarNode || n.Tag != "!!bool"
	case reflect.Int:
		isBad = n.Kind != yaml.ScalarNode || n.Tag != "!!int"
	default:
		isBad = n.Kind != yaml.ScalarNode
	}
	if isBad {
		c.fail(at, key, "expected %s, not %s", form(t), written(n))
	}
}

// fields checks a mapping that has a field for each key.
func (c *checker) fields(n *yaml.Node, t reflect.Type, key string) {
	types, names := map[string]reflect.Type{}, []string(nil)
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		types[name], names = f.Type, append(names, name)
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := n.Content[i].Value
		of := types[name]
		switch near := spec.Nearest(name, names); {
		case of != nil:
			c.value(n.Content[i+1], of, joined(key, name))
		case near != "":
			c.fail(n.Content[i], key, "unknown key %q: did you mean %q?", name, near)
		default:
			c.fail(n.Content[i], key, "unknown key %q: there are %s", name, strings.Join(names, ", "))
		}
	}
}

// twice refuses a key that a mapping has before.
func (c *checker) twice(n *yaml.Node, key string) {
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := n.Content[i].Value
		if seen[name] {
			c.fail(n.Content[i], key, "key %q is given twice", name)
		}
		seen[name] = true
	}
}

func joined(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

// form is what a value of a type is called in YAML.
func form(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a number"
	case reflect.Slice:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "a mapping"
	}
	return "a text"
}

// written is what stands in a value's place.
func written(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	return strconv.Quote(n.Value)
}

var yamlSyntax = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(?:yaml: )?line (\d+): (.*)$`) })

// syntax says what is wrong with a text that is not YAML, by its line.
func syntax(path string, err error) error {
	texts := []string{err.Error()}
	if wrong, ok := errors.AsType[*yaml.TypeError](err); ok {
		texts = wrong.Errors
	}
	var all []error
	for _, text := range texts {
		if m := yamlSyntax().FindStringSubmatch(text); m != nil {
			all = append(all, fmt.Errorf("%s:%s: not valid YAML: %s", path, m[1], m[2]))
			continue
		}
		all = append(all, fmt.Errorf("%s: not valid YAML: %s", path, strings.TrimPrefix(text, "yaml: ")))
	}
	return errors.Join(all...)
}
