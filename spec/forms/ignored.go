package forms

import (
	"fmt"
	"strconv"

	"github.com/orlop/orlop/spec/tree"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/schema"
)

// ignored tells of a key that is not carried out. What the table says of its
// value is checked all the same.
func (c *Conformer) ignored(f *tree.Field, k *schema.Key, path string) bool {
	c.unsupported(&tree.Node{At: f.At, Width: f.Width}, path, spec.Topic{Subject: tree.Join(path, f.Key), Text: "not supported"},
		fmt.Sprintf("%q is not supported", f.Key), k.Note)
	if f.Value.Kind == tree.NullNode || f.Value.Kind == tree.BadNode || f.Value.Merge == tree.MergeReset {
		return k.Kept
	}
	checker := *c
	checker.quiet = true
	mode := f.Value.Merge
	f.Value = checker.value(f.Value, k, tree.Join(path, f.Key))
	f.Value.Merge = mode
	return k.Kept
}

// unheeded tells of a key that has no effect here, and checks its value. It says whether the key is kept: a cluster may heed it.
func (c *Conformer) unheeded(f *tree.Field, k *schema.Key, path string) bool {
	about := spec.Topic{Subject: tree.Join(path, f.Key), Text: "no effect: " + k.Note}
	c.Reporter.NoEffect(&tree.Node{At: f.At, Width: f.Width}, path, about, fmt.Sprintf("%q has no effect: %s", f.Key, k.Note))
	if f.Value.Kind == tree.NullNode || f.Value.Kind == tree.BadNode || f.Value.Merge == tree.MergeReset {
		return k.Kept
	}
	checker := *c
	checker.quiet = true
	mode := f.Value.Merge
	made := checker.value(f.Value, k, tree.Join(path, f.Key))
	if k.Kept {
		f.Value = made
		f.Value.Merge = mode
	}
	return k.Kept
}

func (c *Conformer) unsupported(n *tree.Node, path string, about spec.Topic, message, hint string) {
	if !c.quiet {
		c.Reporter.Unsupported(n, path, about, message, hint)
	}
}

func (c *Conformer) warn(n *tree.Node, path, message, hint string) {
	if !c.quiet {
		c.Reporter.Warn(n, path, message, hint)
	}
}

// schedule checks when a job is run: a cron line, or an object with one.
func (c *Conformer) schedule(item *tree.Node, k *schema.Key, path string) *tree.Node {
	if item.Kind == tree.ScalarNode {
		item = item.Mapping(item.With("cron", item))
	}
	out := c.Object(item, k.Keys, path)
	if out.Kind == tree.MapNode && out.Value("cron") == nil {
		return c.fail(item, path, "cron is missing", `write cron: "0 3 * * *"`)
	}
	return out
}

// umask checks the bits that a process takes from what it creates.
func (c *Conformer) umask(n *tree.Node, path string) *tree.Node {
	if n.Kind == tree.ScalarNode && n.Tag != "!!bool" && n.Tag != "!!float" {
		v, err := strconv.ParseUint(tree.PlainNumber(n.Text), 0, 32)
		if n.Text == "" && len(n.Unset()) > 0 {
			return n.Bad()
		}
		if err == nil {
			if n.Text != "0" && n.Text[0] != '0' {
				c.warn(n, path, fmt.Sprintf("%s is a decimal number: the umask becomes %#o", n.Text, v), "write 0"+n.Text+" for octal")
			}
			made := n.Scalar("!!int", strconv.FormatUint(v, 10))
			made.SetUnset(n.Unset())
			return made
		}
	}
	return c.expected(n, path, wanted(&schema.Key{Shape: schema.FileMode}))
}
