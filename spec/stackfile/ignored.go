package stackfile

import (
	"fmt"
	"strconv"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/schema"
)

// ignored tells of a key that is not carried out. What the table says of its
// value is checked all the same.
func (c *conformer) ignored(f *field, k *schema.Key, path string) bool {
	c.notYet(&node{at: f.at, width: f.width}, path, spec.Topic{Subject: join(path, f.key), Text: "not supported yet"},
		fmt.Sprintf("%q is not supported yet", f.key), k.Note)
	if f.value.kind == nullNode && k.Shape == schema.AnyButNull {
		c.expected(f.value, join(path, f.key), "a value")
	}
	if f.value.kind == nullNode || f.value.kind == badNode || f.value.merge == mergeReset {
		return k.Kept
	}
	checker := *c
	checker.quiet = true
	mode := f.value.merge
	f.value = checker.value(f.value, k, join(path, f.key))
	f.value.merge = mode
	return k.Kept
}

func (c *conformer) notYet(n *node, path string, about spec.Topic, message, hint string) {
	if !c.quiet {
		c.l.notYet(n, path, about, message, hint)
	}
}

func (c *conformer) warn(n *node, path, message, hint string) {
	if !c.quiet {
		c.l.warn(n, path, message, hint)
	}
}

// devices checks the devices to reserve: each says what it must be able to do,
// and either how many or which.
func (c *conformer) devices(n *node, k *schema.Key, path string) *node {
	if n.kind == scalarNode && n.text == "all" {
		return n
	}
	isReserved := k.Name == "devices"
	return c.list(n, path, func(item *node, path string) []*node {
		out := c.object(item, k.Keys, path)
		if out.kind != mapNode {
			return []*node{out}
		}
		count := out.value("count")
		switch {
		case isReserved && out.value("capabilities") == nil:
			return []*node{c.fail(item, path, "capabilities is missing", "write capabilities: [gpu]")}
		case count != nil && out.value("device_ids") != nil:
			return []*node{c.fail(count, path, "count and device_ids exclude each other", "keep one of them")}
		case count != nil && count.kind == scalarNode && count.text != "all":
			if _, err := strconv.Atoi(count.text); err != nil {
				return []*node{c.fail(count, path, fmt.Sprintf("%q is not a number of devices", spec.Shorten(count.text)), "write a number, or all")}
			}
		}
		return []*node{out}
	})
}

// schedule checks when a job is run: a cron line, or an object with one.
func (c *conformer) schedule(item *node, k *schema.Key, path string) *node {
	if item.kind == scalarNode {
		item = item.mapping(item.with("cron", item))
	}
	out := c.object(item, k.Keys, path)
	if out.kind == mapNode && out.value("cron") == nil {
		return c.fail(item, path, "cron is missing", `write cron: "0 3 * * *"`)
	}
	return out
}

// umask checks the bits that a process takes from what it creates.
func (c *conformer) umask(n *node, path string) *node {
	if n.kind == scalarNode && n.tag != "!!bool" && n.tag != "!!float" {
		if _, err := strconv.ParseUint(plainNumber(n.text), 0, 32); err == nil || n.text == "" && len(n.unset) > 0 {
			return n
		}
	}
	return c.expected(n, path, wanted(&schema.Key{Shape: schema.FileMode}))
}
