package tree

import (
	"fmt"
	"unicode/utf8"
)

// CheckText reports what is not UTF-8 in a tree.
func (r Reporter) CheckText(n *Node, path string) {
	if n.isText() {
		return
	}
	switch n.Kind {
	case ScalarNode:
		r.Fail(n, path, "the value is not UTF-8 text", "a variable in it, or the file that it comes from, has another encoding")
	case MapNode:
		for _, f := range n.Fields {
			if !utf8.ValidString(f.Key) {
				r.Fail(f.Value, path, fmt.Sprintf("the name %q is not UTF-8 text", f.Key), "")
				continue
			}
			r.CheckText(f.Value, Join(path, f.Key))
		}
	case ListNode:
		for i, item := range n.Items {
			r.CheckText(item, Indexed(path, i))
		}
	}
}

// isText says that all of a tree is UTF-8.
func (n *Node) isText() bool {
	if n.Kind == ScalarNode {
		return utf8.ValidString(n.Text)
	}
	for i := range n.Fields {
		if f := &n.Fields[i]; !utf8.ValidString(f.Key) || !f.Value.isText() {
			return false
		}
	}
	for _, item := range n.Items {
		if !item.isText() {
			return false
		}
	}
	return true
}
