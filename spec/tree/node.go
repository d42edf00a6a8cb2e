// Package tree has stack files as trees of values, each with its place, and what is
// done with trees as such: they are merged, compared and complained of. It knows
// keys by the table in schema only.
package tree

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/orlop/orlop/spec/variables"

	"github.com/orlop/orlop/spec"
)

// NodeKind is what a value is.
type NodeKind uint8

const (
	NullNode NodeKind = iota
	ScalarNode
	MapNode
	ListNode
	BadNode // a mistake stood here: it was reported, and nothing more is said about it

	// Of a file as it is written.
	AliasNode // Text is the name, and Items has the value that has it
	BaseNode  // Items has the value of a merge key
	OddNode   // Items has a key that is no text, and its value
)

// MergeTag is what a "!reset" or "!override" tag asks of merging.
type MergeTag uint8

const (
	MergeNormally MergeTag = iota
	MergeReset
	MergeOverride
)

// Node is a value of a stack file that knows its place. Aliases and merge
// keys are filled in.
type Node struct {
	Kind   NodeKind
	Merge  MergeTag
	Tag    string // of a scalar: !!str, !!int, !!float, !!bool, ...
	Text   string // of a scalar
	Fields []Field
	Items  []*Node
	At     spec.Place
	Width  int
	Origin *Origin // nil of most
}

// Origin is what is to be known of a value that is not what is written there. It is not
// changed: several nodes may have it.
type Origin struct {
	Raw   string // its text before variables were filled in
	Unset []variables.UnsetVariable
	Fault *Fault              // why a bad node is bad, if that counts only where it is used
	Vars  *variables.Expander // of the included file that it stands in, where it names one
}

func (n *Node) origin() Origin {
	if n.Origin == nil {
		return Origin{}
	}
	return *n.Origin
}

// Raw is the text of a scalar before variables were filled in.
func (n *Node) Raw() string { return n.origin().Raw }

// Unset are the variables that a value lacks.
func (n *Node) Unset() []variables.UnsetVariable {
	if n.Origin == nil {
		return nil
	}
	return n.Origin.Unset
}

// Vars are those of the included file that a value stands in, where it names one.
func (n *Node) Vars() *variables.Expander { return n.origin().Vars }

// Fault is why a bad node is bad, if that counts only where it is used.
func (n *Node) Fault() *Fault { return n.origin().Fault }

// SetOrigin notes the text that a value had and the variables that it lacks.
func (n *Node) SetOrigin(raw string, unset []variables.UnsetVariable) {
	if n.Origin == nil && raw == "" && len(unset) == 0 {
		return
	}
	o := n.origin()
	o.Raw, o.Unset = raw, unset
	n.Origin = &o
}

// SetUnset notes the variables that a value lacks.
func (n *Node) SetUnset(unset []variables.UnsetVariable) { n.SetOrigin(n.Raw(), unset) }

// SetFault notes why a bad node is bad.
func (n *Node) SetFault(f *Fault) {
	o := n.origin()
	o.Fault, n.Origin = f, &o
}

// SetVars notes whose variables a name stands for.
func (n *Node) SetVars(vars *variables.Expander) {
	o := n.origin()
	o.Vars, n.Origin = vars, &o
}

// As is a new node of a kind that stands where n does, and lacks the variables that n lacks.
func (n *Node) As(kind NodeKind) *Node {
	out := &Node{Kind: kind, At: n.At, Width: n.Width}
	out.SetUnset(n.Unset())
	return out
}

// Field is one entry of a mapping.
type Field struct {
	Key   string
	At    spec.Place
	Width int
	Value *Node
}

// Field is the entry of a key, nil if there is none.
func (n *Node) Field(key string) *Field {
	if i := n.IndexOf(key); i >= 0 {
		return &n.Fields[i]
	}
	return nil
}

// IndexOf is where the entry of a key stands, or -1.
func (n *Node) IndexOf(key string) int {
	for i := range n.Fields {
		if n.Fields[i].Key == key {
			return i
		}
	}
	return -1
}

// Merged is the value n of a merge key, as it is written.
func (n *Node) Merged() *Node { return &Node{Kind: BaseNode, Items: []*Node{n}, At: n.At, Width: 1} }

// Odd is the value n of a key that is no text, as it is written.
func (n *Node) Odd(key *Node) *Node {
	return &Node{Kind: OddNode, Items: []*Node{key, n}, At: n.At, Width: 1}
}

// Entries are the items of a list; of no node, none.
func (n *Node) Entries() []*Node {
	if n == nil {
		return nil
	}
	return n.Items
}

// Value is the value of a key, or nil.
func (n *Node) Value(key string) *Node {
	if n == nil {
		return nil
	}
	if f := n.Field(key); f != nil {
		return f.Value
	}
	return nil
}

// LayBelow adds what files say to a mapping, which wins where both do. from
// are the places of the values.
func (n *Node) LayBelow(names []string, from map[string]*Node, values map[string]string) {
	own := make(map[string]bool, len(n.Fields))
	for _, f := range n.Fields {
		own[f.Key] = true
	}
	for _, name := range names {
		if at := from[name]; !own[name] {
			n.Fields = append(n.Fields, at.With(name, at.Scalar("!!str", values[name])))
		}
	}
}

// Set puts an entry in, in the place of one of the same key.
func (n *Node) Set(f Field) {
	if old := n.Field(f.Key); old != nil {
		*old = f
		return
	}
	n.Fields = append(n.Fields, f)
}

// Remove takes the entry of a key out.
func (n *Node) Remove(key string) {
	for i := range n.Fields {
		if n.Fields[i].Key == key {
			n.Fields = append(n.Fields[:i:i], n.Fields[i+1:]...)
			return
		}
	}
}

// IsEmpty says whether n is a mapping or list without content, or nothing.
func (n *Node) IsEmpty() bool {
	return n.Kind != ScalarNode && n.Kind != BadNode && len(n.Fields) == 0 && len(n.Items) == 0
}

// MovedTo is n as if it stood at a place of another file.
func (n *Node) MovedTo(file string, at spec.Place) *Node {
	own := *n
	at.File, own.Width = file, 1
	own.At = at
	return &own
}

// Scalar is a new scalar that stands where n does.
func (n *Node) Scalar(tag, text string) *Node {
	return &Node{Kind: ScalarNode, Tag: tag, Text: text, At: n.At, Width: n.Width}
}

// Mapping is a new mapping that stands where n does.
func (n *Node) Mapping(fields ...Field) *Node {
	return &Node{Kind: MapNode, Fields: fields, At: n.At, Width: n.Width, Merge: n.Merge}
}

// With is a field of n's own place.
func (n *Node) With(key string, value *Node) Field {
	return Field{Key: key, At: n.At, Width: n.Width, Value: value}
}

// Bad is a value of which a mistake was reported: nothing later complains of it.
func (n *Node) Bad() *Node {
	out := n.As(BadNode)
	if fault := n.Fault(); fault != nil {
		out.SetFault(fault)
	}
	return out
}

// WithRoom is a copy for so many more fields; the values are the same.
func (n *Node) WithRoom(more int) *Node {
	c := *n
	c.Fields = append(make([]Field, 0, len(n.Fields)+more), n.Fields...)
	return &c
}

// Clone is a deep copy, so that two services may grow from one base.
func (n *Node) Clone() *Node {
	c := *n
	c.Fields = make([]Field, len(n.Fields))
	for i, f := range n.Fields {
		f.Value = f.Value.Clone()
		c.Fields[i] = f
	}
	c.Items = make([]*Node, len(n.Items))
	for i, item := range n.Items {
		c.Items[i] = item.Clone()
	}
	return &c
}

// Describe names what a node is, for "expected ..., not ...".
func (n *Node) Describe() string {
	switch {
	case n.Kind == NullNode:
		return "nothing"
	case n.Kind == MapNode:
		return "a mapping"
	case n.Kind == ListNode:
		return "a list"
	case n.Tag == "!!bool":
		return "the truth value " + n.Text
	case n.Tag == "!!int" || n.Tag == "!!float":
		return "the number " + n.Text
	case n.Tag == "!!timestamp":
		return "the date " + n.Text
	}
	return fmt.Sprintf("the text %q", spec.Shorten(n.Text))
}

// Fault is a mistake that counts only where the value is used: a variable is
// missing that must be there.
type Fault struct {
	Diagnostic spec.Diagnostic
	Found      bool // it stands in the tree: whoever uses it decides
}

// Anything is a node as plain Go values.
func (n *Node) Anything() any {
	switch n.Kind {
	case MapNode:
		out := make(map[string]any, len(n.Fields))
		for _, f := range n.Fields {
			out[f.Key] = f.Value.Anything()
		}
		return out
	case ListNode:
		out := make([]any, len(n.Items))
		for i, item := range n.Items {
			out[i] = item.Anything()
		}
		return out
	case ScalarNode:
		switch n.Tag {
		case "!!bool":
			return strings.EqualFold(n.Text, "true")
		case "!!int":
			if i, err := strconv.ParseInt(PlainNumber(n.Text), 0, 64); err == nil {
				return i
			}
		case "!!float":
			if f, err := strconv.ParseFloat(PlainNumber(n.Text), 64); err == nil {
				return f
			}
		}
		return n.Text
	}
	return nil
}

// IsPlainValue says whether a scalar is a number or a truth value for YAML.
func (n *Node) IsPlainValue() bool {
	return n.Kind == ScalarNode && (n.Tag == "!!int" || n.Tag == "!!float" || n.Tag == "!!bool")
}

// IsFilled says that all of a tree has its variables.
func (n *Node) IsFilled() bool {
	if n.Origin != nil && (len(n.Origin.Unset) > 0 || n.Origin.Fault != nil) {
		return false
	}
	for i := range n.Fields {
		if !n.Fields[i].Value.IsFilled() {
			return false
		}
	}
	return !slices.ContainsFunc(n.Items, func(item *Node) bool { return !item.IsFilled() })
}

// SaysNothing says whether a value is empty, or holds only what is.
func (n *Node) SaysNothing() bool {
	for _, f := range n.Fields {
		if !f.Value.SaysNothing() {
			return false
		}
	}
	for _, item := range n.Items {
		if !item.SaysNothing() {
			return false
		}
	}
	return n.Text == ""
}

// Walk visits a tree, parents first.
func (n *Node) Walk(path string, visit func(n *Node, path string)) {
	visit(n, path)
	for _, f := range n.Fields {
		f.Value.Walk(Join(path, f.Key), visit)
	}
	for i, item := range n.Items {
		item.Walk(Indexed(path, i), visit)
	}
}

// Join is the path of a key below a path.
func Join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// Indexed is the path of an entry of a list.
func Indexed(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// PlainNumber takes the underscores of a YAML number out and spells its old
// octal form (0644) as Go does.
func PlainNumber(s string) string { return strings.ReplaceAll(s, "_", "") }

// Texts are the texts of a list; of no list, none.
func Texts(n *Node) []string {
	if n == nil {
		return nil
	}
	var out []string
	for _, item := range n.Entries() {
		if item.Kind == ScalarNode {
			out = append(out, item.Text)
		}
	}
	return out
}

// TextAt is the text of a scalar below n, or "".
func TextAt(n *Node, key string) string {
	if v := n.Value(key); v != nil && v.Kind == ScalarNode {
		return v.Text
	}
	return ""
}
