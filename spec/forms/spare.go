package forms

import "github.com/orlop/orlop/spec/tree"

// spare are nodes and fields that were made in advance: long forms are made of many.
type spare struct {
	nodes  []tree.Node
	fields []tree.Field
}

// node is a new node that stands where at does.
func (c *Conformer) node(at *tree.Node, kind tree.NodeKind) *tree.Node {
	if c.spare == nil {
		c.spare = &spare{}
	}
	if len(c.spare.nodes) == 0 {
		c.spare.nodes = make([]tree.Node, 128)
	}
	n := &c.spare.nodes[0]
	c.spare.nodes = c.spare.nodes[1:]
	n.Kind, n.At, n.Width = kind, at.At, at.Width
	return n
}

// text is a new scalar that stands where at does.
func (c *Conformer) text(at *tree.Node, tag, text string) *tree.Node {
	n := c.node(at, tree.ScalarNode)
	n.Tag, n.Text = tag, text
	return n
}

// fields is room for so many fields.
func (c *Conformer) fields(count int) []tree.Field {
	if c.spare == nil {
		c.spare = &spare{}
	}
	if len(c.spare.fields) < count {
		c.spare.fields = make([]tree.Field, max(count, 128))
	}
	out := c.spare.fields[:0:count]
	c.spare.fields = c.spare.fields[count:]
	return out
}
