package tree

import (
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/orlop/orlop/spec"
)

// Document is a tree to be written, its keys in the order of the alphabet. Each "$" of a
// text is doubled if that is asked for, so that it stands for itself when it is read.
func (n *Node) Document(doubled bool) *yaml.Node {
	switch n.Kind {
	case ScalarNode:
		if n.Tag != "!!str" {
			return &yaml.Node{Kind: yaml.ScalarNode, Tag: n.Tag, Value: n.Text}
		}
		text := n.Text
		if doubled {
			text = strings.ReplaceAll(text, "$", "$$")
		}
		return spec.TextNode(text)
	case MapNode:
		out := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		fields := slices.Clone(n.Fields)
		slices.SortFunc(fields, func(a, b Field) int { return strings.Compare(a.Key, b.Key) })
		for _, f := range fields {
			out.Content = append(out.Content, spec.TextNode(f.Key), f.Value.Document(doubled))
		}
		if len(fields) == 0 {
			out.Style = yaml.FlowStyle
		}
		return out
	case ListNode:
		out := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		for _, item := range n.Items {
			out.Content = append(out.Content, item.Document(doubled))
		}
		if len(n.Items) == 0 {
			out.Style = yaml.FlowStyle
		}
		return out
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
}
