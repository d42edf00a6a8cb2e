package stackfile

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/orlop/orlop/spec/tree"
	"github.com/orlop/orlop/spec/variables"

	"github.com/orlop/orlop/spec"

	"gopkg.in/yaml.v3"
)

// Limits on what a stack file may hold: legal input must not hurt.
const (
	maxNodes   = 300_000 // values of one file after its aliases are filled in
	maxEntries = 10_000  // entries of one mapping or list
	maxDepth   = 64      // levels of nesting
)

// builder turns the YAML nodes of one source into nodes.
type builder struct {
	l      *loader
	src    *source
	vars   *variables.Expander
	at     spec.Place // of the scalar that vars fill in
	told   string     // the last variable that has something of the caller's, in a file of a remote
	count  int
	active map[*yaml.Node]bool
	path   []string   // of the value being built
	outer  *tree.Node // the alias, not inside another, that is being filled in
	full   bool
	nodes  []tree.Node // made in advance
}

// node is a new node.
func (b *builder) node() *tree.Node {
	if len(b.nodes) == 0 {
		b.nodes = make([]tree.Node, 64)
	}
	n := &b.nodes[0]
	b.nodes = b.nodes[1:]
	return n
}

// build converts n and fills its variables in.
func (b *builder) build(n *yaml.Node, depth int) *tree.Node {
	out := b.node()
	out.At, out.Width = spec.Place{File: b.src.name, Line: n.Line, Column: n.Column}, 1
	if b.count++; b.count > maxNodes || depth > maxDepth {
		b.refuse(out, depth)
		return out.Bad()
	}
	if len(n.Content) > 2*maxEntries {
		return b.tooMany(out)
	}
	switch n.Kind {
	case yaml.DocumentNode:
		if len(n.Content) == 0 {
			return out
		}
		return b.build(n.Content[0], depth)
	case yaml.AliasNode:
		return b.alias(n, out, depth)
	case yaml.MappingNode:
		out.Kind = tree.MapNode
		out.Merge = tagOf(n)
		if out.Merge != tree.MergeReset {
			b.mapping(n, out, depth)
		}
		if len(out.Fields) > maxEntries {
			return b.tooMany(out)
		}
	case yaml.SequenceNode:
		out.Kind = tree.ListNode
		out.Merge = tagOf(n)
		out.Items = make([]*tree.Node, 0, len(n.Content))
		for i, item := range n.Content {
			if out.Merge == tree.MergeReset || b.full {
				break
			}
			if built := b.child(item, tree.Indexed("", i), depth); built.Merge != tree.MergeReset {
				out.Items = append(out.Items, built)
			}
		}
	case yaml.ScalarNode:
		b.scalar(n, out)
	}
	return out
}

func (b *builder) tooMany(n *tree.Node) *tree.Node {
	b.l.Fail(n, b.where(), fmt.Sprintf("more than %d entries", maxEntries), "")
	return n.Bad()
}

// child builds a value below the present one.
func (b *builder) child(n *yaml.Node, segment string, depth int) *tree.Node {
	b.path = append(b.path, segment)
	built := b.build(n, depth+1)
	b.path = b.path[:len(b.path)-1]
	return built
}

// where is the path of the value being built.
func (b *builder) where() string {
	return strings.ReplaceAll(strings.Join(b.path, "."), ".[", "[")
}

func tagOf(n *yaml.Node) tree.MergeTag {
	switch n.Tag {
	case "!reset":
		return tree.MergeReset
	case "!override":
		return tree.MergeOverride
	}
	return tree.MergeNormally
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

func (b *builder) alias(n *yaml.Node, out *tree.Node, depth int) *tree.Node {
	if n.Alias == nil || b.active[n.Alias] {
		out.Width = len(n.Value) + 1
		b.l.Fail(out, b.where(), fmt.Sprintf("the alias *%s stands inside the value that it names", n.Value), "")
		return out.Bad()
	}
	if b.active == nil {
		b.active = map[*yaml.Node]bool{}
	}
	if len(b.active) == 0 {
		b.outer = &tree.Node{At: out.At, Width: len(n.Value) + 1}
		defer func() { b.outer = nil }()
	}
	b.active[n.Alias] = true
	built := b.build(n.Alias, depth+1)
	delete(b.active, n.Alias)
	return built
}

func (b *builder) mapping(n *yaml.Node, out *tree.Node, depth int) {
	var index map[string]int // of a mapping that is not small
	if len(n.Content) > 32 {
		index = make(map[string]int, len(n.Content)/2)
	}
	out.Fields = make([]tree.Field, 0, len(n.Content)/2)
	var bases []*yaml.Node
	for i := 0; i+1 < len(n.Content) && !b.full; i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Tag == "!!merge" || (k.Kind == yaml.ScalarNode && k.Value == "<<" && k.Style == 0) {
			bases = append(bases, v)
			continue
		}
		f := tree.Field{At: spec.Place{File: b.src.name, Line: k.Line, Column: k.Column}, Width: keyWidth(k)}
		var ok bool
		if f.Key, ok = b.key(k, f); !ok {
			continue
		}
		if first := fieldOf(out, index, f.Key); first >= 0 {
			b.l.Fail(&tree.Node{At: f.At, Width: f.Width}, b.where(), fmt.Sprintf("key %q is given twice", f.Key),
				fmt.Sprintf("first on line %d", out.Fields[first].At.Line))
			continue
		}
		f.Value = b.child(v, f.Key, depth)
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
		return slices.IndexFunc(n.Fields, func(f tree.Field) bool { return f.Key == key })
	}
	if i, ok := index[key]; ok {
		return i
	}
	return -1
}

// key is the text of a key; a key of another type is reported.
func (b *builder) key(k *yaml.Node, f tree.Field) (string, bool) {
	if k.Kind == yaml.AliasNode && k.Alias != nil {
		k = k.Alias
	}
	at := &tree.Node{At: f.At, Width: f.Width}
	if k.Kind != yaml.ScalarNode {
		b.l.Fail(at, b.where(), "a key must be text", "")
		return "", false
	}
	if k.ShortTag() != "!!str" {
		written := &tree.Node{Kind: tree.ScalarNode, Tag: k.ShortTag(), Text: k.Value}
		if written.Tag == "!!null" {
			written.Kind = tree.NullNode
		}
		b.l.Fail(at, b.where(), "a key must be text, not "+written.Describe(), fmt.Sprintf("quote it: %q", k.Value))
		return "", false
	}
	return k.Value, true
}

func keyWidth(k *yaml.Node) int {
	width := utf8.RuneCountInString(k.Value)
	if k.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
		width += 2
	}
	return max(1, width)
}

// inherit adds what a merge key ("<<") brings and the mapping does not say itself.
func (b *builder) inherit(base *yaml.Node, out *tree.Node, depth int) {
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

func (b *builder) scalar(n *yaml.Node, out *tree.Node) {
	out.Merge = tagOf(n)
	out.Tag, out.Text = n.ShortTag(), n.Value
	if strings.HasPrefix(n.Tag, "!") && !strings.HasPrefix(n.Tag, "!!") {
		plain := *n
		plain.Tag = ""
		plain.Style &^= yaml.TaggedStyle
		out.Tag = plain.ShortTag()
	}
	out.Width = max(1, utf8.RuneCountInString(n.Value))
	if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
		out.Width += 2
	}
	if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		out.Width = 1
	}
	if out.Tag == "!!null" {
		out.Text = ""
		return
	}
	out.Kind = tree.ScalarNode
	if out.Merge != tree.MergeReset && strings.Contains(n.Value, "$") {
		b.interpolate(n, out)
	}
}

// interpolate fills the variables of a scalar in. What is wrong with it is
// reported at the expression itself.
func (b *builder) interpolate(n *yaml.Node, out *tree.Node) {
	out.Raw = out.Text
	b.at = spec.Place{File: b.src.name, Line: n.Line, Column: n.Column}
	b.told = ""
	text, unset, bad := b.vars.Expand(out.Text)
	if b.told != "" {
		b.l.remotes.Tell(out.At, b.told)
	}
	for i := range unset {
		unset[i].At = b.locate(n, out.Raw, unset[i].Offset, unset[i].Expr)
	}
	out.Text, out.Unset = text, unset
	if bad == nil {
		return
	}
	at := b.locate(n, out.Raw, bad.Offset, bad.Expr)
	d := spec.Diagnostic{Severity: spec.Error, Path: b.where(), Place: at, Message: bad.Message, Hint: bad.Hint, Width: len(bad.Expr)}
	out.Kind = tree.BadNode
	if !bad.Required {
		b.l.Report(d)
		return
	}
	out.Fault = &tree.Fault{Diagnostic: d}
	b.l.faults = append(b.l.faults, out.Fault)
}

// locate finds the place of an expression of a scalar in its file, whatever
// style the scalar is written in.
func (b *builder) locate(n *yaml.Node, raw string, offset int, expr string) spec.Place {
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
	return spec.Place{File: b.src.name, Line: n.Line, Column: n.Column}
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
