package stackfile

import (
	"fmt"
	"os"
	"strings"
	"unicode/utf8"

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
	vars   *variables
	count  int
	active map[*yaml.Node]bool
	path   []string // of the value being built
	outer  *node    // the alias, not inside another, that is being filled in
	full   bool
}

// build converts n and fills its variables in.
func (b *builder) build(n *yaml.Node, depth int) *node {
	out := &node{at: spec.Place{File: b.src.name, Line: n.Line, Column: n.Column}, width: 1}
	if b.count++; b.count > maxNodes || depth > maxDepth {
		b.refuse(out, depth)
		return out.bad()
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
		out.kind = mapNode
		out.merge = tagOf(n)
		if out.merge != mergeReset {
			b.mapping(n, out, depth)
		}
		if len(out.fields) > maxEntries {
			return b.tooMany(out)
		}
	case yaml.SequenceNode:
		out.kind = listNode
		out.merge = tagOf(n)
		for i, item := range n.Content {
			if out.merge == mergeReset || b.full {
				break
			}
			if built := b.child(item, indexed("", i), depth); built.merge != mergeReset {
				out.items = append(out.items, built)
			}
		}
	case yaml.ScalarNode:
		b.scalar(n, out)
	}
	return out
}

func (b *builder) tooMany(n *node) *node {
	b.l.fail(n, b.where(), fmt.Sprintf("more than %d entries", maxEntries), "")
	return n.bad()
}

// child builds a value below the present one.
func (b *builder) child(n *yaml.Node, segment string, depth int) *node {
	b.path = append(b.path, segment)
	built := b.build(n, depth+1)
	b.path = b.path[:len(b.path)-1]
	return built
}

// where is the path of the value being built.
func (b *builder) where() string {
	return strings.ReplaceAll(strings.Join(b.path, "."), ".[", "[")
}

func tagOf(n *yaml.Node) mergeTag {
	switch n.Tag {
	case "!reset":
		return mergeReset
	case "!override":
		return mergeOverride
	}
	return mergeNormally
}

func (b *builder) refuse(at *node, depth int) {
	if b.full {
		return
	}
	b.full = true
	if b.outer != nil {
		at = b.outer
	}
	if depth > maxDepth {
		b.l.fail(at, "", fmt.Sprintf("nested more than %d levels deep", maxDepth), "")
		return
	}
	b.l.fail(at, "", fmt.Sprintf("the file grows to more than %d values when its aliases are filled in", maxNodes),
		"use fewer aliases of aliases")
}

func (b *builder) alias(n *yaml.Node, out *node, depth int) *node {
	if n.Alias == nil || b.active[n.Alias] {
		out.width = len(n.Value) + 1
		b.l.fail(out, b.where(), fmt.Sprintf("the alias *%s stands inside the value that it names", n.Value), "")
		return out.bad()
	}
	if b.active == nil {
		b.active = map[*yaml.Node]bool{}
	}
	if len(b.active) == 0 {
		b.outer = &node{at: out.at, width: len(n.Value) + 1}
		defer func() { b.outer = nil }()
	}
	b.active[n.Alias] = true
	built := b.build(n.Alias, depth+1)
	delete(b.active, n.Alias)
	return built
}

func (b *builder) mapping(n *yaml.Node, out *node, depth int) {
	index := make(map[string]int, len(n.Content)/2)
	var bases []*yaml.Node
	for i := 0; i+1 < len(n.Content) && !b.full; i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Tag == "!!merge" || (k.Kind == yaml.ScalarNode && k.Value == "<<" && k.Style == 0) {
			bases = append(bases, v)
			continue
		}
		f := field{at: spec.Place{File: b.src.name, Line: k.Line, Column: k.Column}, width: keyWidth(k)}
		var ok bool
		if f.key, ok = b.key(k, f); !ok {
			continue
		}
		if first, ok := index[f.key]; ok {
			b.l.fail(&node{at: f.at, width: f.width}, b.where(), fmt.Sprintf("key %q is given twice", f.key),
				fmt.Sprintf("first on line %d", out.fields[first].at.Line))
			continue
		}
		f.value = b.child(v, f.key, depth)
		if f.value.kind == nullNode {
			f.value.at, f.value.width = f.at, f.width
		}
		index[f.key] = len(out.fields)
		out.fields = append(out.fields, f)
	}
	for _, base := range bases {
		b.inherit(base, out, index, depth)
	}
}

// key is the text of a key; a key of another type is reported.
func (b *builder) key(k *yaml.Node, f field) (string, bool) {
	if k.Kind == yaml.AliasNode && k.Alias != nil {
		k = k.Alias
	}
	at := &node{at: f.at, width: f.width}
	if k.Kind != yaml.ScalarNode {
		b.l.fail(at, b.where(), "a key must be text", "")
		return "", false
	}
	if k.ShortTag() != "!!str" {
		written := &node{kind: scalarNode, tag: k.ShortTag(), text: k.Value}
		if written.tag == "!!null" {
			written.kind = nullNode
		}
		b.l.fail(at, b.where(), "a key must be text, not "+written.describe(), fmt.Sprintf("quote it: %q", k.Value))
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
func (b *builder) inherit(base *yaml.Node, out *node, index map[string]int, depth int) {
	built := b.build(base, depth+1)
	sources := []*node{built}
	if built.kind == listNode {
		sources = built.items
	}
	for _, s := range sources {
		if s.kind == badNode || s.kind == nullNode {
			continue
		}
		if s.kind != mapNode {
			b.l.fail(s, b.where(), "a merge key (<<) takes a mapping or a list of mappings, not "+s.describe(), "")
			continue
		}
		for _, f := range s.fields {
			if _, ok := index[f.key]; !ok {
				index[f.key] = len(out.fields)
				out.fields = append(out.fields, f)
			}
		}
	}
}

func (b *builder) scalar(n *yaml.Node, out *node) {
	out.merge = tagOf(n)
	out.tag, out.text = n.ShortTag(), n.Value
	if strings.HasPrefix(n.Tag, "!") && !strings.HasPrefix(n.Tag, "!!") {
		plain := *n
		plain.Tag = ""
		plain.Style &^= yaml.TaggedStyle
		out.tag = plain.ShortTag()
	}
	out.width = max(1, utf8.RuneCountInString(n.Value))
	if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
		out.width += 2
	}
	if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		out.width = 1
	}
	if out.tag == "!!null" {
		out.text = ""
		return
	}
	out.kind = scalarNode
	if out.merge != mergeReset && strings.Contains(n.Value, "$") {
		b.interpolate(n, out)
	}
}

// interpolate fills the variables of a scalar in. What is wrong with it is
// reported at the expression itself.
func (b *builder) interpolate(n *yaml.Node, out *node) {
	out.raw = out.text
	text, unset, bad := b.vars.expand(out.text)
	for i := range unset {
		unset[i].at = b.locate(n, out.raw, unset[i].offset, unset[i].expr)
	}
	out.text, out.unset = text, unset
	if bad == nil {
		return
	}
	at := b.locate(n, out.raw, bad.offset, bad.expr)
	d := spec.Diagnostic{Severity: spec.Error, Path: b.where(), Place: at, Message: bad.message, Hint: bad.hint, Width: len(bad.expr)}
	out.kind = badNode
	if !bad.required {
		b.l.report(d)
		return
	}
	out.fault = &fault{diagnostic: d}
	b.l.faults = append(b.l.faults, out.fault)
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

// isFetched says whether a context of the file is remote. A directory of that
// name wins.
func (c *conformer) isFetched(context string) bool {
	if !spec.IsRemoteName(context) || strings.Contains(context, "://") {
		return spec.IsRemote(context)
	}
	info, err := os.Stat(c.absolute(context))
	return err != nil || !info.IsDir()
}
