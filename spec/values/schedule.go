package values

import (
	"errors"

	"github.com/orlop/orlop/spec/cron"
	"github.com/orlop/orlop/spec/tree"
)

// schedules checks when a job is to be run.
func (c checker) schedules(list *tree.Node, path string) {
	for i, item := range list.Entries() {
		at := tree.Indexed(path, i)
		if text := item.Value("cron"); isGiven(text) {
			_, err := cron.Parse(text.Text)
			c.wrongTime(text, at+".cron", err)
		}
		if name := item.Value("timezone"); isGiven(name) {
			_, err := cron.Zone(name.Text)
			c.wrongTime(name, at+".timezone", err)
		}
	}
}

// isGiven says that a text is there, with all its variables.
func isGiven(n *tree.Node) bool { return n != nil && n.Kind == tree.ScalarNode && len(n.Unset()) == 0 }

// wrongTime tells of a time that can't be understood.
func (c checker) wrongTime(n *tree.Node, path string, err error) {
	if wrong, ok := errors.AsType[*cron.Error](err); ok {
		c.Fail(n, path, wrong.Text, wrong.Hint)
	}
}
