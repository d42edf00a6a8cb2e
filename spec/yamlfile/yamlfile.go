// Package yamlfile reads small files of ours that people write or mend, with what is wrong
// in one in the words of who wrote it. It knows none of their keys.
package yamlfile

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
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
	err := decode(text, into)
	if err == nil { // what yaml.v3 takes is valid, whatever the checker would say
		return f, nil
	}
	c := checker{file: f, merging: map[*yaml.Node]bool{}}
	c.value(f.root, reflect.TypeOf(into).Elem(), "")
	if len(c.wrong) > 0 {
		return f, errors.Join(c.wrong...)
	}
	return f, syntax(path, err)
}

// decode has yaml.v3 read a text into a structure. It panics where a mapping with a key
// that is no text merges another.
func decode(text []byte, into any) (err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("a key is a list or a mapping, next to a <<")
		}
	}()
	strict := yaml.NewDecoder(bytes.NewReader(text))
	strict.KnownFields(true)
	return strict.Decode(into)
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

// checker finds, in a document that does not decode, all that its type rules out.
type checker struct {
	file    *File
	wrong   []error
	merging map[*yaml.Node]bool // mappings around the one that is looked at
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
			c.fields(n, t, key)
		}
	case reflect.Map:
		if isBad = n.Kind != yaml.MappingNode; !isBad {
			c.entries(n, key, map[string]bool{}, func(at, value *yaml.Node) {
				c.value(value, t.Elem(), joined(key, at.Value))
			})
		}
	case reflect.Slice:
		if isBad = n.Kind != yaml.SequenceNode; !isBad {
			for i, item := range n.Content {
				c.value(item, t.Elem(), fmt.Sprintf("%s[%d]", key, i))
			}
		}
	case reflect.Bool, reflect.Int: // which words are one knows yaml.v3
		isBad = n.Kind != yaml.ScalarNode || n.Decode(reflect.New(t).Interface()) != nil
	default:
		isBad = n.Kind != yaml.ScalarNode
	}
	if isBad {
		c.fail(at, key, "expected %s, not %s", form(t), written(n))
	}
}

// fields checks a mapping that has a field for each key.
func (c *checker) fields(n *yaml.Node, t reflect.Type, key string) {
	types, names, takesAll := map[string]reflect.Type{}, []string(nil), false
	for f := range t.Fields() {
		name, how, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if how == "inline" { // the keys that no other field is for
			takesAll = true
			continue
		}
		types[name], names = f.Type, append(names, name)
	}
	c.entries(n, key, map[string]bool{}, func(at, value *yaml.Node) {
		name := at.Value
		of := types[name]
		switch near := spec.Nearest(name, names); {
		case of != nil:
			c.value(value, of, joined(key, name))
		case takesAll:
		case near != "":
			c.fail(at, key, "unknown key %q: did you mean %q?", name, near)
		default:
			c.fail(at, key, "unknown key %q: there are %s", name, strings.Join(names, ", "))
		}
	})
}

// entries visits the keys of a mapping with their values, and then those that it merges
// (<<) and has not seen yet. A key that is given twice is refused.
func (c *checker) entries(n *yaml.Node, key string, seen map[string]bool, visit func(at, value *yaml.Node)) {
	if c.merging[n] { // it merges itself
		return
	}
	c.merging[n] = true
	defer delete(c.merging, n)
	own, merged := map[string]bool{}, []*yaml.Node(nil)
	for i := 0; i+1 < len(n.Content); i += 2 {
		at, value := resolved(n.Content[i]), n.Content[i+1]
		switch {
		case own[at.Value]:
			c.fail(n.Content[i], key, "key %q is given twice", at.Value)
		case at.Tag == "!!merge":
			merged = c.mappings(value, key)
		case !seen[at.Value]:
			visit(at, value)
		}
		own[at.Value] = true
	}
	maps.Copy(seen, own)
	for _, from := range merged {
		c.entries(from, key, seen, visit)
	}
}

// mappings are those that a merge key names: one or a list of them.
func (c *checker) mappings(value *yaml.Node, key string) (all []*yaml.Node) {
	list := []*yaml.Node{value}
	if value.Kind == yaml.SequenceNode {
		list = value.Content
	}
	for _, at := range list {
		n := resolved(at)
		if n.Kind != yaml.MappingNode {
			c.fail(at, joined(key, "<<"), "expected a mapping, not %s", written(n))
			continue
		}
		all = append(all, n)
	}
	return all
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
