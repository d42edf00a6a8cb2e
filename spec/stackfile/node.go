package stackfile

import (
	"fmt"

	"github.com/orlop/orlop/spec"
)

type nodeKind uint8

const (
	nullNode nodeKind = iota
	scalarNode
	mapNode
	listNode
	badNode // a mistake stood here: it was reported, and nothing more is said about it
)

// mergeTag is what a "!reset" or "!override" tag asks of merging.
type mergeTag uint8

const (
	mergeNormally mergeTag = iota
	mergeReset
	mergeOverride
)

// node is a value of a stack file that knows its place. Aliases and merge
// keys are filled in.
type node struct {
	kind   nodeKind
	tag    string // of a scalar: !!str, !!int, !!float, !!bool, ...
	text   string // of a scalar
	raw    string // of a scalar: its text before variables were filled in
	fields []field
	items  []*node
	at     spec.Place
	width  int
	merge  mergeTag
	unset  []unsetVariable
	fault  *fault     // why a bad node is bad, if that counts only where it is used
	vars   *variables // of the included file that it stands in, where it names one
}

// field is one entry of a mapping.
type field struct {
	key   string
	at    spec.Place
	width int
	value *node
}

func (n *node) field(key string) *field {
	for i := range n.fields {
		if n.fields[i].key == key {
			return &n.fields[i]
		}
	}
	return nil
}

// value is the value of a key, or nil.
func (n *node) value(key string) *node {
	if n == nil {
		return nil
	}
	if f := n.field(key); f != nil {
		return f.value
	}
	return nil
}

// layBelow adds what files say to a mapping, which wins where both do. from
// are the places of the values.
func (n *node) layBelow(names []string, from map[string]*node, values map[string]string) {
	own := make(map[string]bool, len(n.fields))
	for _, f := range n.fields {
		own[f.key] = true
	}
	for _, name := range names {
		if at := from[name]; !own[name] {
			n.fields = append(n.fields, at.with(name, at.scalar("!!str", values[name])))
		}
	}
}

func (n *node) set(f field) {
	if old := n.field(f.key); old != nil {
		*old = f
		return
	}
	n.fields = append(n.fields, f)
}

func (n *node) remove(key string) {
	for i := range n.fields {
		if n.fields[i].key == key {
			n.fields = append(n.fields[:i:i], n.fields[i+1:]...)
			return
		}
	}
}

// isEmpty says whether n is a mapping or list without content, or nothing.
func (n *node) isEmpty() bool {
	return n.kind != scalarNode && n.kind != badNode && len(n.fields) == 0 && len(n.items) == 0
}

// scalar is a new scalar that stands where n does.
func (n *node) scalar(tag, text string) *node {
	return &node{kind: scalarNode, tag: tag, text: text, at: n.at, width: n.width}
}

// mapping is a new mapping that stands where n does.
func (n *node) mapping(fields ...field) *node {
	return &node{kind: mapNode, fields: fields, at: n.at, width: n.width, merge: n.merge}
}

// with is a field of n's own place.
func (n *node) with(key string, value *node) field {
	return field{key: key, at: n.at, width: n.width, value: value}
}

func (n *node) bad() *node {
	return &node{kind: badNode, at: n.at, width: n.width, unset: n.unset, fault: n.fault}
}

// clone is a deep copy, so that two services may grow from one base.
func (n *node) clone() *node {
	c := *n
	c.fields = make([]field, len(n.fields))
	for i, f := range n.fields {
		f.value = f.value.clone()
		c.fields[i] = f
	}
	c.items = make([]*node, len(n.items))
	for i, item := range n.items {
		c.items[i] = item.clone()
	}
	return &c
}

// describe names what a node is, for "expected ..., not ...".
func (n *node) describe() string {
	switch {
	case n.kind == nullNode:
		return "nothing"
	case n.kind == mapNode:
		return "a mapping"
	case n.kind == listNode:
		return "a list"
	case n.tag == "!!bool":
		return "the truth value " + n.text
	case n.tag == "!!int" || n.tag == "!!float":
		return "the number " + n.text
	case n.tag == "!!timestamp":
		return "the date " + n.text
	}
	return fmt.Sprintf("the text %q", spec.Shorten(n.text))
}
