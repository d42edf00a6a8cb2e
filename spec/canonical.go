package spec

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/orlop/orlop/spec/keyorder"
)

// YAML is the project in the canonical form that "config" prints: the keys
// and forms of Compose, "$" written as "$$" so that it loads again to the
// same. Contents of secrets are never in it.
func (p *Project) YAML() ([]byte, error) {
	data, err := EncodeYAML(p.canonical(false))
	return escapeDollars(data), err
}

// EncodeYAML writes a document as stack files are written.
func EncodeYAML(n *yaml.Node) ([]byte, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(n); err != nil {
		return nil, fmt.Errorf("cannot write the stack as YAML: %w", err)
	}
	return b.Bytes(), nil
}

// JSON is the same as YAML, as JSON.
func (p *Project) JSON() ([]byte, error) {
	data, err := EncodeJSON(p.canonical(true))
	return escapeDollars(data), err
}

// EncodeJSON writes a document as indented JSON, with a line's end.
func EncodeJSON(n *yaml.Node) ([]byte, error) {
	var b bytes.Buffer
	if err := writeJSON(&b, n, ""); err != nil {
		return nil, fmt.Errorf("cannot write the stack as JSON: %w", err)
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

// escapeDollars has a "$" stand for itself when the text is loaded again.
func escapeDollars(data []byte) []byte { return bytes.ReplaceAll(data, []byte("$"), []byte("$$")) }

func (p *Project) canonical(forJSON bool) *yaml.Node {
	c := canonicalizer{json: forJSON}
	return c.node(reflect.ValueOf(p).Elem())
}

// Hash is a stable hash of what makes the containers of a service: it does
// not change with how the service is built, scaled or ordered. A service that
// is not there has the hash "".
func (p *Project) Hash(service string) string {
	s := p.Services[service]
	if s == nil {
		return ""
	}
	return s.Hash(p.ImageName(service))
}

// Hash is Project.Hash of a service whose containers are made from an image.
func (s *Service) Hash(image string) string {
	made := *s
	made.Attach, made.PullRefreshAfter, made.ProvidedEnvironment = nil, "", nil
	made.Build, made.PullPolicy, made.DependsOn, made.Profiles, made.Scale, made.Deploy, made.Develop = nil, "", nil, nil, nil, nil, nil
	if d := s.Deploy; d != nil && (d.Resources != nil || d.RestartPolicy != nil || d.Mode != "") {
		made.Deploy = &Deploy{Mode: d.Mode, Resources: d.Resources, RestartPolicy: d.RestartPolicy}
	}
	made.Image = image
	data, err := json.Marshal(&made)
	if err != nil {
		return "" // cannot be: the types hold nothing that JSON does not know
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// canonicalizer turns Go values into YAML nodes, in the order that Compose prints keys in.
type canonicalizer struct {
	json bool
}

func scalarOf(tag, value string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: value}
}

// TextNode is text, quoted where an old YAML reader would take it for a truth
// value ("no") or a number by sixties ("10:30").
func TextNode(s string) *yaml.Node {
	if _, ok := ParseFlag(s); ok || s != "" && strings.Trim(s, "0123456789:") == "" {
		return quoted(s)
	}
	n := &yaml.Node{}
	n.SetString(s)
	return n
}

// quoted is text that must not be read as a number.
func quoted(s string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s, Style: yaml.DoubleQuotedStyle}
}

func (c canonicalizer) node(v reflect.Value) *yaml.Node {
	switch x := v.Interface().(type) {
	case Bytes:
		return quoted(x.String())
	case Duration:
		return TextNode(x.String())
	case Ulimit:
		if x.Single != 0 {
			return scalarOf("!!int", strconv.FormatInt(x.Single, 10))
		}
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return scalarOf("!!null", "null")
		}
		return c.node(v.Elem())
	case reflect.Struct:
		return c.structure(v)
	case reflect.Map:
		return c.mapping(v)
	case reflect.Slice:
		list := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		if v.Len() == 0 {
			list.Style = yaml.FlowStyle
		}
		for i := range v.Len() {
			list.Content = append(list.Content, c.node(v.Index(i)))
		}
		return list
	case reflect.Bool:
		return scalarOf("!!bool", strconv.FormatBool(v.Bool()))
	case reflect.Int, reflect.Int64:
		return scalarOf("!!int", strconv.FormatInt(v.Int(), 10))
	case reflect.Uint32:
		return scalarOf("!!int", strconv.FormatUint(v.Uint(), 10))
	case reflect.Float64:
		number := strconv.FormatFloat(v.Float(), 'f', -1, 64)
		if !strings.Contains(number, ".") {
			return scalarOf("!!int", number)
		}
		return scalarOf("!!float", number)
	}
	return TextNode(fmt.Sprint(v.Interface()))
}

func (c canonicalizer) mapping(v reflect.Value) *yaml.Node {
	out := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	keys := map[string]reflect.Value{}
	for _, k := range v.MapKeys() {
		keys[k.String()] = k
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		out.Content = append(out.Content, TextNode(k), c.node(v.MapIndex(keys[k])))
	}
	if len(keys) == 0 {
		out.Style = yaml.FlowStyle
	}
	return out
}

func (c canonicalizer) structure(v reflect.Value) *yaml.Node {
	out := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	var extensions reflect.Value
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		value := v.Field(i)
		if name == "-" {
			if f.Name == "Extensions" {
				extensions = value
			}
			continue
		}
		made := c.field(v, f, value, options == "omitempty")
		if made == nil {
			continue
		}
		out.Content = append(out.Content, TextNode(name), made)
	}
	keyorder.Sort(keyorder.Kind(v.Type().Name()), out)
	if extensions.IsValid() && extensions.Len() > 0 {
		out.Content = append(out.Content, c.mapping(extensions).Content...)
	}
	if len(out.Content) == 0 {
		out.Style = yaml.FlowStyle
	}
	return out
}

// field is the canonical form of one field of a struct; nil leaves it out.
func (c canonicalizer) field(of reflect.Value, f reflect.StructField, value reflect.Value, omitEmpty bool) *yaml.Node {
	switch {
	case f.Name == "Instance", f.Name == "Underscore", f.Name == "Bases", f.Name == "SeccompProfile", f.Name == "Inherited", f.Name == "ProvidedEnvironment", f.Name == "Provided": // no keys of Compose; what an instance decides stands in the names
		return nil
	case f.Name == "CreateHostPath": // true unless said otherwise
		if value.Bool() {
			return nil
		}
	case f.Name == "Secrets" && of.Type() == reflect.TypeFor[Service]() && value.Len() > 0:
		return c.node(reflect.ValueOf(withTargets(value.Interface().([]FileMount))))
	case f.Name == "Mode" && of.Type() == reflect.TypeFor[FileMount]():
		if value.IsNil() {
			return nil
		}
		return quoted(fmt.Sprintf("0%o", value.Elem().Uint()))
	case f.Name == "IPAM" && c.json && value.IsNil():
		return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	case f.Type == reflect.TypeFor[Command]():
		if value.IsNil() {
			if c.json {
				return scalarOf("!!null", "null")
			}
			return nil
		}
	case omitEmpty && (value.IsZero() || (value.Kind() == reflect.Map || value.Kind() == reflect.Slice) && value.Len() == 0):
		return nil
	}
	if f.Name == "Published" {
		return quoted(value.String())
	}
	return c.node(value)
}

// withTargets says where each secret is mounted when the file does not.
func withTargets(secrets []FileMount) []FileMount {
	out := slices.Clone(secrets)
	for i := range out {
		if out[i].Target == "" {
			out[i].Target = "/run/secrets/" + out[i].Source
		}
	}
	return out
}

// writeJSON writes a node as indented JSON.
func writeJSON(b *bytes.Buffer, n *yaml.Node, indent string) error {
	deeper := indent + "  "
	switch n.Kind {
	case yaml.MappingNode, yaml.SequenceNode:
		open, end, step := "{", "}", 2
		if n.Kind == yaml.SequenceNode {
			open, end, step = "[", "]", 1
		}
		b.WriteString(open)
		for i := 0; i < len(n.Content); i += step {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString("\n" + deeper)
			if step == 2 {
				key, err := json.Marshal(n.Content[i].Value)
				if err != nil {
					return err
				}
				b.Write(key)
				b.WriteString(": ")
			}
			if err := writeJSON(b, n.Content[i+step-1], deeper); err != nil {
				return err
			}
		}
		if len(n.Content) > 0 {
			b.WriteString("\n" + indent)
		}
		b.WriteString(end)
		return nil
	}
	switch n.Tag {
	case "!!null", "!!bool", "!!int", "!!float":
		b.WriteString(n.Value)
		return nil
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(n.Value); err != nil {
		return err
	}
	b.Write(bytes.TrimRight(text.Bytes(), "\n"))
	return nil
}
