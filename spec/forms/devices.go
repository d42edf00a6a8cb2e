package forms

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/schema"
	"github.com/orlop/orlop/spec/tree"
)

// deviceNode brings one entry of a service's devices into long form.
func (c *Conformer) deviceNode(item *tree.Node, keys []schema.Key, at string) *tree.Node {
	if item.Kind == tree.MapNode {
		out := c.Object(item, keys, at)
		if out.Kind == tree.MapNode && out.Value("source") == nil {
			return c.fail(item, at, "source is missing", "write source: and the path of a device, such as /dev/ttyUSB0")
		}
		return out
	}
	if item.Kind != tree.ScalarNode {
		return c.expected(item, at, "a device such as \"/dev/ttyUSB0\" or a mapping")
	}
	parts := strings.Split(item.Text, ":")
	if len(parts) > 3 || parts[0] == "" {
		if len(item.Unset()) > 0 {
			return item.Bad()
		}
		return c.fail(item, at, fmt.Sprintf("bad device %q", spec.Shorten(item.Text)), "write it as PATH[:PATH IN THE CONTAINER[:rwm]]")
	}
	source, target, permissions := parts[0], parts[0], "rwm"
	if len(parts) > 1 && parts[1] != "" {
		target = parts[1]
	}
	if len(parts) > 2 {
		permissions = parts[2]
	}
	made := item.Mapping(item.With("source", item.Scalar("!!str", source)), item.With("target", item.Scalar("!!str", target)),
		item.With("permissions", item.Scalar("!!str", permissions)))
	made.Merge = tree.MergeNormally
	return made
}

// devices checks what is asked of a driver of devices: entries, or all there are.
func (c *Conformer) devices(n *tree.Node, k *schema.Key, path string) *tree.Node {
	every := func(n *tree.Node) *tree.Node { return n.Scalar("!!int", "-1") }
	if n.Kind == tree.ScalarNode && n.Text == "all" {
		return &tree.Node{Kind: tree.ListNode, Items: []*tree.Node{n.Mapping(n.With("count", every(n)))}, At: n.At, Width: n.Width}
	}
	isReserved := k.Name == "devices"
	return c.list(n, path, func(item *tree.Node, path string) *tree.Node {
		out := c.Object(item, k.Keys, path)
		if out.Kind != tree.MapNode {
			return out
		}
		count := out.Value("count")
		switch {
		case isReserved && out.Value("capabilities") == nil:
			return c.fail(item, path, "capabilities is missing", "write capabilities: [gpu]")
		case count != nil && out.Value("device_ids") != nil:
			return c.fail(count, path, "count and device_ids exclude each other", "keep one of them")
		case count == nil && out.Value("device_ids") == nil:
			out.Set(item.With("count", every(item)))
		case count != nil && count.Kind == tree.ScalarNode && count.Text == "all":
			out.Set(count.With("count", every(count)))
		case count != nil && count.Kind == tree.ScalarNode:
			if _, err := strconv.Atoi(count.Text); err != nil {
				return c.fail(count, path, fmt.Sprintf("%q is not a number of devices", spec.Shorten(count.Text)), "write a number, or all")
			}
		}
		return out
	})
}
