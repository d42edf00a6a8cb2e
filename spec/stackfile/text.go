package stackfile

import (
	"fmt"
	"unicode/utf8"

	"github.com/orlop/orlop/spec/tree"
)

// checkText refuses what is not UTF-8: the engine is told of the project in
// JSON, which would put another character in the place of such bytes, and a
// mount would lead elsewhere. A stack file itself is UTF-8, or it is no YAML;
// variables and environment files may be anything.
func (l *loader) checkText(n *tree.Node, path string) {
	if l.isAllText() || isText(n) {
		return
	}
	l.checkEach(n, path)
}

// isAllText says that no file was read whose text is anything but UTF-8, and that no
// variable or directory is anything else: of what else is a tree made?
func (l *loader) isAllText() bool {
	if l.otherText || !utf8.ValidString(l.name) || !utf8.ValidString(l.projectDir) {
		return false
	}
	for name, value := range l.env {
		if !utf8.ValidString(name) || !utf8.ValidString(value) {
			return false
		}
	}
	return true
}

func (l *loader) checkEach(n *tree.Node, path string) {
	if isText(n) {
		return
	}
	switch n.Kind {
	case tree.ScalarNode:
		if !utf8.ValidString(n.Text) {
			l.Fail(n, path, "the value is not UTF-8 text", "a variable in it, or the file that it comes from, has another encoding")
		}
	case tree.MapNode:
		for _, f := range n.Fields {
			at := f.Key
			if path != "" {
				at = path + "." + f.Key
			}
			if !utf8.ValidString(f.Key) {
				l.Fail(f.Value, path, fmt.Sprintf("the name %q is not UTF-8 text", f.Key), "")
				continue
			}
			l.checkEach(f.Value, at)
		}
	case tree.ListNode:
		for i, item := range n.Items {
			l.checkEach(item, tree.Indexed(path, i))
		}
	}
}

// isText says that all of a tree is UTF-8.
func isText(n *tree.Node) bool {
	if n.Kind == tree.ScalarNode {
		return utf8.ValidString(n.Text)
	}
	for i := range n.Fields {
		if f := &n.Fields[i]; !utf8.ValidString(f.Key) || !isText(f.Value) {
			return false
		}
	}
	for _, item := range n.Items {
		if !isText(item) {
			return false
		}
	}
	return true
}

// checkPath refuses a directory whose name can't be told to the engine.
func checkPath(dir string) error {
	if utf8.ValidString(dir) {
		return nil
	}
	return fmt.Errorf("cannot use the directory %q: its name is not UTF-8 text; rename it", dir)
}
