package values

import (
	"fmt"
	"strings"

	"github.com/orlop/orlop/spec/tree"
)

// mostOfString is how many bytes Linux lets an argument or a variable, NAME=VALUE,
// of a program have (MAX_ARG_STRLEN without its end).
const mostOfString = 128<<10 - 1

// strings refuses arguments and variables that no program could be started with.
func (c checker) strings(s *tree.Node, path string) {
	for _, key := range []string{"command", "entrypoint"} {
		list := s.Value(key)
		if list == nil {
			continue
		}
		for i, item := range list.Items {
			if isNoString("", item.Text) {
				c.noString(item, tree.Indexed(path+"."+key, i), item.Text, "the argument")
			}
		}
	}
	c.nameless(s.Value("labels"), path+".labels", "a label")
	environment := s.Value("environment")
	if environment == nil {
		return
	}
	c.nameless(environment, path+".environment", "a variable")
	for _, f := range environment.Fields {
		if f.Value.Kind == tree.ScalarNode && isNoString(f.Key, f.Value.Text) {
			c.noString(f.Value, path+".environment."+f.Key, f.Key+"="+f.Value.Text, "the variable")
		}
	}
}

// isNoString says that no program could be started with a text, of a name if it has one.
func isNoString(name, text string) bool {
	return len(name)+len(text) >= mostOfString || strings.IndexByte(text, 0) >= 0 || strings.IndexByte(name, 0) >= 0
}

// noString tells what is wrong with a text, if it is.
func (c checker) noString(n *tree.Node, at, text, what string) {
	switch {
	case strings.ContainsRune(text, 0):
		c.Fail(n, at, what+" holds a NUL character, with which no program can be started", "take it out")
	case len(text) > mostOfString:
		c.Fail(n, at, fmt.Sprintf("%s has %d bytes, and Linux starts no program with more than %d in one", what, len(text), mostOfString),
			"put it into a file: configs can carry it")
	}
}

// nameless refuses an entry of a mapping that has no name.
func (c checker) nameless(mapping *tree.Node, path, what string) {
	if mapping == nil {
		return
	}
	for _, f := range mapping.Fields {
		if f.Key == "" {
			c.Fail(f.Value, path, what+" has no name", "write NAME=value")
		}
	}
}
