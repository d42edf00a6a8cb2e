package stackfile

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/plain"
	"github.com/orlop/orlop/spec/tree"
	"github.com/orlop/orlop/spec/variables"
)

// Limits on what a stack file may hold: legal input must not hurt.
const (
	maxNodes   = 300_000 // values of one file after its aliases are filled in
	maxEntries = 10_000  // entries of one mapping or list
	maxDepth   = 64      // levels of nesting
)

// builder makes the tree of one source of what is written there: aliases, merge keys and
// variables are filled in. It takes the nodes as they are, but for a document whose
// values may stand at several places: there each has nodes of its own.
type builder struct {
	l      *loader
	src    *source
	vars   *variables.Expander
	at     spec.Place // of the scalar that vars fill in
	told   string     // the last variable that has something of the caller's, in a file of a remote
	count  int
	copies bool
	active map[*tree.Node]bool
	path   []segment  // of the value being built
	outer  *tree.Node // the alias, not inside another, that is being filled in
	full   bool
	nodes  []tree.Node // made in advance
}

// segment is a key, or where it is "" the index of an entry of a list.
type segment struct {
	key    string
	index  int
	isItem bool // it is an index, not a key
}

// own is the node that is made of n.
func (b *builder) own(n *tree.Node) *tree.Node {
	if !b.copies {
		return n
	}
	if len(b.nodes) == 0 {
		b.nodes = make([]tree.Node, 64)
	}
	out := &b.nodes[0]
	b.nodes = b.nodes[1:]
	*out = *n
	return out
}

// document makes the tree of a document.
func (b *builder) document(d plain.Document) *tree.Node {
	b.copies = d.HasAliases
	b.count = 1
	return b.build(d.Root, 0)
}

// build makes the tree of n.
func (b *builder) build(n *tree.Node, depth int) *tree.Node {
	if b.count++; b.count > maxNodes || depth > maxDepth {
		bad := &tree.Node{Kind: tree.BadNode, At: n.At, Width: 1}
		b.refuse(bad, depth)
		return bad
	}
	if len(n.Fields) > maxEntries || n.Kind == tree.ListNode && len(n.Items) > 2*maxEntries {
		return b.tooMany(n)
	}
	switch n.Kind {
	case tree.AliasNode:
		return b.alias(n, depth)
	case tree.MapNode:
		fields, out := n.Fields, b.own(n)
		if out.Fields = nil; out.Merge != tree.MergeReset {
			b.mapping(fields, out, depth)
		}
		if len(out.Fields) > maxEntries {
			return b.tooMany(out)
		}
		return out
	case tree.ListNode:
		out := b.own(n)
		b.list(n.Items, out, depth)
		return out
	}
	out := b.own(n)
	b.scalar(out)
	return out
}

// list builds the items of a list.
func (b *builder) list(items []*tree.Node, out *tree.Node, depth int) {
	if out.Items = items[:0]; b.copies {
		out.Items = make([]*tree.Node, 0, len(items))
	}
	for i, item := range items {
		if out.Merge == tree.MergeReset || b.full {
			break
		}
		if built := b.child(item, segment{index: i, isItem: true}, depth); built.Merge != tree.MergeReset {
			out.Items = append(out.Items, built)
		}
	}
}

func (b *builder) tooMany(n *tree.Node) *tree.Node {
	b.l.Fail(n, b.where(), fmt.Sprintf("more than %d entries", maxEntries), "")
	return n.Bad()
}

// child builds a value below the present one.
func (b *builder) child(n *tree.Node, s segment, depth int) *tree.Node {
	b.path = append(b.path, s)
	built := b.build(n, depth+1)
	b.path = b.path[:len(b.path)-1]
	return built
}

// where is the path of the value being built.
func (b *builder) where() string {
	path := ""
	for _, s := range b.path {
		if s.isItem {
			path = tree.Indexed(path, s.index)
		} else {
			path = tree.Join(path, s.key)
		}
	}
	return path
}

func (b *builder) refuse(at *tree.Node, depth int) {
	if b.full {
		return
	}
	b.full = true
	if b.outer != nil {
		at = b.outer
	}
	if depth > maxDepth {
		b.l.Fail(at, "", fmt.Sprintf("nested more than %d levels deep", maxDepth), "")
		return
	}
	b.l.Fail(at, "", fmt.Sprintf("the file grows to more than %d values when its aliases are filled in", maxNodes),
		"use fewer aliases of aliases")
}

func (b *builder) alias(n *tree.Node, depth int) *tree.Node {
	if len(n.Items) == 0 || b.active[n.Items[0]] {
		at := &tree.Node{At: n.At, Width: len(n.Text) + 1}
		b.l.Fail(at, b.where(), fmt.Sprintf("the alias *%s stands inside the value that it names", n.Text), "")
		return at.Bad()
	}
	if b.active == nil {
		b.active = map[*tree.Node]bool{}
	}
	if len(b.active) == 0 {
		b.outer = &tree.Node{At: n.At, Width: len(n.Text) + 1}
		defer func() { b.outer = nil }()
	}
	named := n.Items[0]
	b.active[named] = true
	built := b.build(named, depth+1)
	delete(b.active, named)
	return built
}

// mapping builds the fields of a mapping.
func (b *builder) mapping(fields []tree.Field, out *tree.Node, depth int) {
	var index map[string]int // of a mapping that is not small
	if len(fields) > 16 {
		index = make(map[string]int, len(fields))
	}
	if out.Fields = fields[:0]; b.copies {
		out.Fields = make([]tree.Field, 0, len(fields))
	}
	var bases []*tree.Node
	for i := 0; i < len(fields) && !b.full; i++ {
		f := fields[i]
		switch f.Value.Kind {
		case tree.BaseNode:
			bases = append(bases, f.Value.Items[0])
			continue
		case tree.OddNode:
			b.oddKey(f)
			continue
		}
		if first := fieldOf(out, index, f.Key); first >= 0 {
			b.l.Fail(&tree.Node{At: f.At, Width: f.Width}, b.where(), fmt.Sprintf("key %q is given twice", f.Key),
				fmt.Sprintf("first on line %d", out.Fields[first].At.Line))
			continue
		}
		f.Value = b.child(f.Value, segment{key: f.Key}, depth)
		if f.Value.Kind == tree.NullNode {
			f.Value.At, f.Value.Width = f.At, f.Width
		}
		if index != nil {
			index[f.Key] = len(out.Fields)
		}
		out.Fields = append(out.Fields, f)
	}
	for _, base := range bases {
		b.inherit(base, out, depth)
	}
}

// fieldOf is where a field of a key stands, or -1. index has them all, if there is one.
func fieldOf(n *tree.Node, index map[string]int, key string) int {
	if index == nil {
		return n.IndexOf(key)
	}
	if i, ok := index[key]; ok {
		return i
	}
	return -1
}

// oddKey reports a key that is no text.
func (b *builder) oddKey(f tree.Field) {
	at, key := &tree.Node{At: f.At, Width: f.Width}, f.Value.Items[0]
	if key.Kind != tree.ScalarNode {
		b.l.Fail(at, b.where(), "a key must be text", "")
		return
	}
	is := *key // others may have it by its name
	if is.Tag == "!!null" {
		is.Kind = tree.NullNode
	}
	b.l.Fail(at, b.where(), "a key must be text, not "+is.Describe(), fmt.Sprintf("quote it: %q", key.Text))
}

// inherit adds what a merge key ("<<") brings and the mapping does not say itself.
func (b *builder) inherit(base *tree.Node, out *tree.Node, depth int) {
	built := b.build(base, depth+1)
	sources := []*tree.Node{built}
	if built.Kind == tree.ListNode {
		sources = built.Items
	}
	taken := make(map[string]bool, len(out.Fields))
	for _, f := range out.Fields {
		taken[f.Key] = true
	}
	for _, s := range sources {
		if s.Kind == tree.BadNode || s.Kind == tree.NullNode {
			continue
		}
		if s.Kind != tree.MapNode {
			b.l.Fail(s, b.where(), "a merge key (<<) takes a mapping or a list of mappings, not "+s.Describe(), "")
			continue
		}
		for _, f := range s.Fields {
			if !taken[f.Key] {
				taken[f.Key] = true
				out.Fields = append(out.Fields, f)
			}
		}
	}
}

func (b *builder) scalar(n *tree.Node) {
	if n.Kind == tree.NullNode {
		n.Text = ""
		return
	}
	if n.Merge != tree.MergeReset && strings.Contains(n.Text, "$") && (!b.l.opts.Kept.Variables || b.namesFile()) {
		b.interpolate(n)
	}
}

// interpolate fills the variables of a scalar in. What is wrong with it is
// reported at the expression itself.
func (b *builder) interpolate(out *tree.Node) {
	raw := out.Text
	b.at = out.At
	b.told = ""
	text, unset, bad := b.vars.Expand(out.Text)
	if b.told != "" {
		b.l.remotes.Tell(out.At, b.told)
	}
	for i := range unset {
		unset[i].At = b.locate(out.At, raw, unset[i].Offset, unset[i].Expr)
	}
	out.Text = text
	out.SetOrigin(raw, unset)
	b.l.unfilled = b.l.unfilled || len(unset) > 0
	if bad == nil {
		return
	}
	at := b.locate(out.At, raw, bad.Offset, bad.Expr)
	d := spec.Diagnostic{Severity: spec.Error, Path: b.where(), Place: at, Message: bad.Message, Hint: bad.Hint, Width: len(bad.Expr)}
	out.Kind = tree.BadNode
	if !bad.Required {
		b.l.Report(d)
		return
	}
	fault := &tree.Fault{Diagnostic: d}
	out.SetFault(fault)
	b.l.unfilled = true
	b.l.faults = append(b.l.faults, fault)
}

// locate finds the place of an expression of a scalar in its file, whatever
// style the scalar is written in.
func (b *builder) locate(n spec.Place, raw string, offset int, expr string) spec.Place {
	nth := strings.Count(raw[:min(offset, len(raw))], expr)
	column := n.Column - 1
	for line := n.Line; line <= n.Line+strings.Count(raw, "\n")+8; line++ {
		text := b.src.line(line)
		rest := text
		if line == n.Line {
			rest = text[byteOffset(text, column):]
		}
		start := len(text) - len(rest)
		for {
			i := strings.Index(rest, expr)
			if i < 0 {
				break
			}
			if nth == 0 {
				return spec.Place{File: b.src.name, Line: line, Column: utf8.RuneCountInString(text[:start+i]) + 1}
			}
			nth--
			start += i + len(expr)
			rest = text[start:]
		}
	}
	return n
}

// byteOffset is the offset of the n-th character of s, or its length.
func byteOffset(s string, n int) int {
	for i := range s {
		if n == 0 {
			return i
		}
		n--
	}
	return len(s)
}
