package stackfile

import (
	"reflect"
	"strconv"
	"strings"

	"github.com/orlop/orlop/spec"
)

// decode fills the project from the checked tree. The tree is canonical, so
// that nothing can go wrong here: shapes and values were checked before.
func (v *validator) decode(p *spec.Project) {
	d := decoder{places: p.Places, types: map[reflect.Type]map[string]int{}}
	d.decode(v.tree, reflect.ValueOf(p).Elem(), "")
	p.Name = v.name
	if p.Services == nil {
		p.Services = map[string]*spec.Service{}
	}
	for name, s := range p.Services {
		s.Name = name
	}
	for name, n := range v.disabled {
		if n.kind != mapNode {
			continue
		}
		s := &spec.Service{Name: name}
		d.decode(n, reflect.ValueOf(s).Elem(), "services."+name)
		if p.Disabled == nil {
			p.Disabled = map[string]*spec.Service{}
		}
		p.Disabled[name] = s
		if v.bases[name] {
			if p.Bases == nil {
				p.Bases = map[string]*spec.Service{}
			}
			p.Bases[name] = s.ImageOnly()
		}
	}
	for name, secret := range p.Secrets {
		secret.Content = textAt(v.tree.value("secrets").value(name), "content")
	}
}

// decoder copies nodes into Go values by their json tags and keeps places.
type decoder struct {
	places spec.Places
	types  map[reflect.Type]map[string]int
}

func (d *decoder) decode(n *node, out reflect.Value, path string) {
	if path != "" && n.at.Line > 0 {
		if _, ok := d.places[path]; !ok {
			d.places[path] = n.at
		}
	}
	if n.kind == nullNode || n.kind == badNode {
		return
	}
	switch out.Kind() {
	case reflect.Pointer:
		made := reflect.New(out.Type().Elem())
		d.decode(n, made.Elem(), path)
		out.Set(made)
	case reflect.Struct:
		d.structure(n, out, path)
	case reflect.Map:
		d.mapping(n, out, path)
	case reflect.Slice:
		list := reflect.MakeSlice(out.Type(), 0, len(n.items))
		for i, item := range n.items {
			if item.kind == badNode {
				continue // of a service that is not asked for
			}
			made := reflect.New(out.Type().Elem()).Elem()
			d.decode(item, made, indexed(path, i))
			list = reflect.Append(list, made)
		}
		out.Set(list)
	case reflect.String:
		out.SetString(n.text)
	case reflect.Bool:
		out.SetBool(n.text == "true")
	case reflect.Float64:
		f, _ := strconv.ParseFloat(plainNumber(n.text), 64)
		out.SetFloat(f)
	case reflect.Int, reflect.Int64:
		out.SetInt(number(n.text, out.Type()))
	case reflect.Uint32:
		u, _ := strconv.ParseUint(n.text, 10, 32)
		out.SetUint(u)
	}
}

func number(text string, t reflect.Type) int64 {
	if t == reflect.TypeFor[spec.Duration]() {
		d, _ := spec.ParseDuration(text)
		return int64(d)
	}
	i, _ := strconv.ParseInt(text, 10, 64)
	return i
}

func (d *decoder) structure(n *node, out reflect.Value, path string) {
	if out.Type() == reflect.TypeFor[spec.Ulimit]() && n.kind == scalarNode {
		out.FieldByName("Single").SetInt(number(n.text, nil))
		return
	}
	fields := d.fieldsOf(out.Type())
	for _, f := range n.fields {
		at := join(path, f.key)
		i, ok := fields[f.key]
		if strings.HasPrefix(f.key, "x-") {
			if e, has := fields["-"]; has {
				d.extension(f, out.Field(e))
			}
			continue
		}
		if !ok {
			continue
		}
		if f.value.kind != scalarNode && f.at.Line > 0 {
			d.places[at] = f.at
		}
		d.decode(f.value, out.Field(i), at)
	}
}

func (d *decoder) extension(f field, out reflect.Value) {
	if out.IsNil() {
		out.Set(reflect.ValueOf(map[string]any{}))
	}
	out.SetMapIndex(reflect.ValueOf(f.key), reflect.ValueOf(f.value.anything()))
}

func (d *decoder) mapping(n *node, out reflect.Value, path string) {
	out.Set(reflect.MakeMapWithSize(out.Type(), len(n.fields)))
	element := out.Type().Elem()
	for _, f := range n.fields {
		if f.value.kind == badNode {
			continue
		}
		at := join(path, f.key)
		if f.value.kind != scalarNode && f.at.Line > 0 {
			d.places[at] = f.at
		}
		value := reflect.New(element).Elem()
		d.decode(f.value, value, at)
		out.SetMapIndex(reflect.ValueOf(f.key), value)
	}
}

// anything is a node as plain Go values.
func (n *node) anything() any {
	switch n.kind {
	case mapNode:
		out := make(map[string]any, len(n.fields))
		for _, f := range n.fields {
			out[f.key] = f.value.anything()
		}
		return out
	case listNode:
		out := make([]any, len(n.items))
		for i, item := range n.items {
			out[i] = item.anything()
		}
		return out
	case scalarNode:
		switch n.tag {
		case "!!bool":
			return strings.EqualFold(n.text, "true")
		case "!!int":
			if i, err := strconv.ParseInt(plainNumber(n.text), 0, 64); err == nil {
				return i
			}
		case "!!float":
			if f, err := strconv.ParseFloat(plainNumber(n.text), 64); err == nil {
				return f
			}
		}
		return n.text
	}
	return nil
}

// fieldsOf are the fields of a struct by json tag; "-" is the Extensions field.
func (d *decoder) fieldsOf(t reflect.Type) map[string]int {
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
