package plain

import (
	"strings"
	"unicode/utf8"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/tree"

	"gopkg.in/yaml.v3"
)

// Of are the documents of a file that yaml.v3 has parsed. An alias may name a value of a
// document before its own.
func Of(file string, documents ...*yaml.Node) []Document {
	c := &converter{file: file, anchors: map[*yaml.Node]*tree.Node{}}
	out := make([]Document, len(documents))
	for i, d := range documents {
		if len(d.Content) == 0 {
			out[i].Root = c.node(tree.NullNode, d)
		} else {
			out[i].Root = c.convert(d.Content[0])
		}
	}
	for i := range out {
		out[i].HasAliases = c.hasAliases
	}
	return out
}

type converter struct {
	file       string
	anchors    map[*yaml.Node]*tree.Node
	hasAliases bool
}

func (c *converter) place(n *yaml.Node) spec.Place {
	return spec.Place{File: c.file, Line: n.Line, Column: n.Column}
}

func (c *converter) node(kind tree.NodeKind, n *yaml.Node) *tree.Node {
	return &tree.Node{Kind: kind, At: c.place(n), Width: 1}
}

// convert is a node as a tree. A value with a name is known by it inside of itself, too.
func (c *converter) convert(n *yaml.Node) *tree.Node {
	out := c.node(tree.NullNode, n)
	if n.Anchor != "" {
		c.anchors[n] = out
	}
	switch n.Kind {
	case yaml.AliasNode:
		out.Kind, out.Text = tree.AliasNode, n.Value
		if named := c.anchors[n.Alias]; named != nil {
			out.Items, c.hasAliases = []*tree.Node{named}, true
		}
	case yaml.MappingNode:
		out.Kind, out.Merge = tree.MapNode, mergeOf(n)
		out.Fields = make([]tree.Field, 0, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			out.Fields = append(out.Fields, c.field(n.Content[i], n.Content[i+1]))
		}
	case yaml.SequenceNode:
		out.Kind, out.Merge = tree.ListNode, mergeOf(n)
		out.Items = make([]*tree.Node, 0, len(n.Content))
		for _, item := range n.Content {
			out.Items = append(out.Items, c.convert(item))
		}
	case yaml.ScalarNode:
		c.scalar(n, out)
	}
	return out
}

func mergeOf(n *yaml.Node) tree.MergeTag {
	switch n.Tag {
	case "!reset":
		return tree.MergeReset
	case "!override":
		return tree.MergeOverride
	}
	return tree.MergeNormally
}

// field is a key with its value.
func (c *converter) field(k, value *yaml.Node) tree.Field {
	f := tree.Field{Key: k.Value, At: c.place(k), Width: keyWidth(k)}
	if k.Anchor != "" || len(k.Content) > 0 {
		c.convert(k) // aliases may name it, or what stands in it
	}
	f.Value = c.convert(value)
	if k.Tag == "!!merge" || k.Kind == yaml.ScalarNode && k.Value == "<<" && k.Style == 0 {
		f.Value = f.Value.Merged()
		return f
	}
	if k.Kind == yaml.AliasNode && k.Alias != nil {
		k = k.Alias
		f.Key = k.Value
	}
	if k.Kind != yaml.ScalarNode || k.ShortTag() != "!!str" {
		f.Value = f.Value.Odd(c.oddKey(k))
	}
	return f
}

// oddKey is a key that is no text.
func (c *converter) oddKey(k *yaml.Node) *tree.Node {
	out := c.node(tree.ScalarNode, k)
	out.Width = keyWidth(k)
	switch {
	case k.Kind == yaml.MappingNode:
		out.Kind = tree.MapNode
	case k.Kind == yaml.SequenceNode:
		out.Kind = tree.ListNode
	default:
		out.Tag, out.Text = k.ShortTag(), k.Value
	}
	return out
}

func keyWidth(k *yaml.Node) int {
	width := utf8.RuneCountInString(k.Value)
	if k.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
		width += 2
	}
	return max(1, width)
}

func (c *converter) scalar(n *yaml.Node, out *tree.Node) {
	out.Kind, out.Merge = tree.ScalarNode, mergeOf(n)
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
		out.Kind = tree.NullNode
	}
}
