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
	if !l.isAllText() {
		l.Reporter.CheckText(n, path)
	}
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

// checkPath refuses a directory whose name can't be told to the engine.
func checkPath(dir string) error {
	if utf8.ValidString(dir) {
		return nil
	}
	return fmt.Errorf("cannot use the directory %q: its name is not UTF-8 text; rename it", dir)
}
