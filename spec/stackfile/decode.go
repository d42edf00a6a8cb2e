package stackfile

import (
	"reflect"
	"strconv"
	"strings"

	"github.com/orlop/orlop/spec/tree"

	"github.com/orlop/orlop/spec"
)

// decode fills the project from the checked tree. The tree is canonical, so
// that nothing can go wrong here: shapes and values were checked before.
func (v *validator) decode(p *spec.Project) {
	d := decoder{map[reflect.Type]map[string]int{}}
	d.decode(v.root, reflect.ValueOf(p).Elem())
	p.Name = v.name
	if p.Services == nil {
		p.Services = map[string]*spec.Service{}
	}
	for name, s := range p.Services {
		s.Name = name
	}
	for name, s := range p.Jobs {
		s.Name = name
	}
	for name, n := range v.disabled {
		if n.Kind != tree.MapNode {
			continue
		}
		s := &spec.Service{Name: name}
		d.decode(n, reflect.ValueOf(s).Elem())
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
		secret.Content = tree.TextAt(v.root.Value("secrets").Value(name), "content")
	}
}

// decoder copies nodes into Go values by their json tags.
type decoder struct {
	types map[reflect.Type]map[string]int
}

func (d *decoder) decode(n *tree.Node, out reflect.Value) {
	if n.Kind == tree.NullNode || n.Kind == tree.BadNode {
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
			if item.Kind == tree.BadNode {
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
		f, _ := strconv.ParseFloat(tree.PlainNumber(n.Text), 64)
		out.SetFloat(f)
	case reflect.Int, reflect.Int64:
		out.SetInt(number(n.Text, out.Type()))
	case reflect.Uint32:
		u, _ := strconv.ParseUint(n.Text, 10, 32)
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

func (d *decoder) structure(n *tree.Node, out reflect.Value) {
	if out.Type() == reflect.TypeFor[spec.Ulimit]() && n.Kind == tree.ScalarNode {
		out.FieldByName("Single").SetInt(number(n.Text, nil))
		return
	}
	fields := d.fieldsOf(out.Type())
	for _, f := range n.Fields {
		i, ok := fields[f.Key]
		if strings.HasPrefix(f.Key, "x-") {
			if e, has := fields["-"]; has {
				d.extension(f, out.Field(e))
			}
			continue
		}
		if !ok {
			continue
		}
		d.decode(f.Value, out.Field(i))
	}
}

func (d *decoder) extension(f tree.Field, out reflect.Value) {
	if out.IsNil() {
		out.Set(reflect.ValueOf(map[string]any{}))
	}
	out.SetMapIndex(reflect.ValueOf(f.Key), reflect.ValueOf(f.Value.Anything()))
}

func (d *decoder) mapping(n *tree.Node, out reflect.Value) {
	out.Set(reflect.MakeMapWithSize(out.Type(), len(n.Fields)))
	value := reflect.New(out.Type().Elem()).Elem()
	for _, f := range n.Fields {
		if f.Value.Kind == tree.BadNode {
			continue
		}
		value.SetZero()
		d.decode(f.Value, value)
		out.SetMapIndex(reflect.ValueOf(f.Key), value)
	}
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
