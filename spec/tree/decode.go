package tree

import (
	"reflect"
	"strconv"
	"strings"

	"github.com/orlop/orlop/spec"
)

// Decoder copies nodes into Go values by their json tags. It knows the fields of types
// that it has met, so that one serves for a whole project.
type Decoder struct {
	types map[reflect.Type]map[string]int
}

// NewDecoder is a decoder that has met no type.
func NewDecoder() *Decoder { return &Decoder{map[reflect.Type]map[string]int{}} }

// Decode fills what out points to. The node is canonical, so that nothing can go wrong:
// shapes and values were checked before.
func (d *Decoder) Decode(n *Node, out any) { d.decode(n, reflect.ValueOf(out).Elem()) }

func (d *Decoder) decode(n *Node, out reflect.Value) {
	if n.Kind == NullNode || n.Kind == BadNode || d.common(n, out.Addr().Interface()) {
		return
	}
	switch out.Kind() {
	case reflect.Pointer:
		made := reflect.New(out.Type().Elem())
		d.decode(n, made.Elem())
		out.Set(made)
	case reflect.Struct:
		d.structure(n, out)
	case reflect.Map:
		d.mapping(n, out)
	case reflect.Slice:
		list := reflect.MakeSlice(out.Type(), len(n.Items), len(n.Items))
		length := 0
		for _, item := range n.Items {
			if item.Kind == BadNode {
				continue // of a service that is not asked for
			}
			d.decode(item, list.Index(length))
			length++
		}
		out.Set(list.Slice(0, length))
	case reflect.String:
		out.SetString(n.Text)
	case reflect.Bool:
		out.SetBool(n.Text == "true")
	case reflect.Float64:
		f, _ := strconv.ParseFloat(PlainNumber(n.Text), 64)
		out.SetFloat(f)
	case reflect.Int, reflect.Int64:
		out.SetInt(number(n.Text, out.Type()))
	case reflect.Uint32:
		u, _ := strconv.ParseUint(n.Text, 10, 32)
		out.SetUint(u)
	}
}

// common fills what out points to if it is of a type that most fields are of: these need
// no reflection.
func (d *Decoder) common(n *Node, out any) bool {
	switch out := out.(type) {
	case *string:
		*out = n.Text
	case *bool:
		*out = n.Text == "true"
	case *[]string:
		*out = texts(n)
	case *spec.Command:
		*out = texts(n)
	case *map[string]string:
		*out = make(map[string]string, len(n.Fields))
		for i := range n.Fields {
			if f := &n.Fields[i]; f.Value.Kind != BadNode {
				(*out)[f.Key] = f.Value.textOnly()
			}
		}
	case *map[string]*string:
		*out = pointers(n)
	case **spec.Duration:
		made := spec.Duration(number(n.Text, reflect.TypeFor[spec.Duration]()))
		*out = &made
	case *[]spec.Port:
		*out = listOf[spec.Port](d, n)
	case *[]spec.Mount:
		*out = listOf[spec.Mount](d, n)
	case *map[string]*spec.Service:
		*out = pointersTo[spec.Service](d, n)
	case *map[string]*spec.ServiceNetwork:
		*out = pointersTo[spec.ServiceNetwork](d, n)
	case *map[string]spec.Dependency:
		*out = mapOf[spec.Dependency](d, n)
	default:
		return false
	}
	return true
}

// textOnly is the text of a value that has one, else "".
func (n *Node) textOnly() string {
	if n.Kind == NullNode {
		return ""
	}
	return n.Text
}

func texts(n *Node) []string {
	out := make([]string, 0, len(n.Items))
	for _, item := range n.Items {
		if item.Kind != BadNode { // of a service that is not asked for
			out = append(out, item.textOnly())
		}
	}
	return out
}

// pointers are texts by their keys; nil where there is no value.
func pointers(n *Node) map[string]*string {
	out, values := make(map[string]*string, len(n.Fields)), make([]string, len(n.Fields))
	for i := range n.Fields {
		switch f := &n.Fields[i]; f.Value.Kind {
		case BadNode:
		case NullNode:
			out[f.Key] = nil
		default:
			values[i] = f.Value.Text
			out[f.Key] = &values[i]
		}
	}
	return out
}

func mapOf[T any](d *Decoder, n *Node) map[string]T {
	out, value := make(map[string]T, len(n.Fields)), new(T)
	for i := range n.Fields {
		if f := &n.Fields[i]; f.Value.Kind != BadNode {
			var zero T
			*value = zero
			d.Decode(f.Value, value)
			out[f.Key] = *value
		}
	}
	return out
}

// pointersTo are values by their keys; nil where there is none.
func pointersTo[T any](d *Decoder, n *Node) map[string]*T {
	out, count := make(map[string]*T, len(n.Fields)), 0
	for i := range n.Fields {
		switch f := &n.Fields[i]; f.Value.Kind {
		case BadNode:
		case NullNode:
			out[f.Key] = nil
		default:
			count++
		}
	}
	values := make([]T, count)
	for i := range n.Fields {
		if f := &n.Fields[i]; f.Value.Kind != BadNode && f.Value.Kind != NullNode {
			d.Decode(f.Value, &values[0])
			out[f.Key], values = &values[0], values[1:]
		}
	}
	return out
}

func listOf[T any](d *Decoder, n *Node) []T {
	out, length := make([]T, len(n.Items)), 0
	for _, item := range n.Items {
		if item.Kind != BadNode { // of a service that is not asked for
			d.Decode(item, &out[length])
			length++
		}
	}
	return out[:length]
}

func number(text string, t reflect.Type) int64 {
	if t == reflect.TypeFor[spec.Duration]() {
		d, _ := spec.ParseDuration(text)
		return int64(d)
	}
	i, _ := strconv.ParseInt(text, 10, 64)
	return i
}

func (d *Decoder) structure(n *Node, out reflect.Value) {
	if out.Type() == reflect.TypeFor[spec.Ulimit]() && n.Kind == ScalarNode {
		out.FieldByName("Single").SetInt(number(n.Text, nil))
		return
	}
	fields := d.fieldsOf(out.Type())
	for i := range n.Fields {
		f := &n.Fields[i]
		if strings.HasPrefix(f.Key, "x-") {
			if e, has := fields["-"]; has {
				d.extension(*f, out.Field(e))
			}
			continue
		}
		if at, ok := fields[f.Key]; ok {
			d.decode(f.Value, out.Field(at))
		}
	}
}

func (d *Decoder) extension(f Field, out reflect.Value) {
	if out.IsNil() {
		out.Set(reflect.ValueOf(map[string]any{}))
	}
	out.SetMapIndex(reflect.ValueOf(f.Key), reflect.ValueOf(f.Value.Anything()))
}

func (d *Decoder) mapping(n *Node, out reflect.Value) {
	out.Set(reflect.MakeMapWithSize(out.Type(), len(n.Fields)))
	value := reflect.New(out.Type().Elem()).Elem()
	for _, f := range n.Fields {
		if f.Value.Kind == BadNode {
			continue
		}
		value.SetZero()
		d.decode(f.Value, value)
		out.SetMapIndex(reflect.ValueOf(f.Key), value)
	}
}

// fieldsOf are the fields of a struct by json tag; "-" is the Extensions field.
func (d *Decoder) fieldsOf(t reflect.Type) map[string]int {
	if fields, ok := d.types[t]; ok {
		return fields
	}
	fields := make(map[string]int, t.NumField())
	for i := range t.NumField() {
		tag, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if tag != "-" {
			fields[tag] = i
		} else if t.Field(i).Name == "Extensions" {
			fields["-"] = i
		}
	}
	d.types[t] = fields
	return fields
}
