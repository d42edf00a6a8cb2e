package forms

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/orlop/orlop/spec/tree"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/schema"
)

// command brings a command line into its words.
func (c *Conformer) command(n *tree.Node, path string) *tree.Node {
	if n.Kind == tree.ListNode {
		return c.texts(n, false, path)
	}
	if n.Kind != tree.ScalarNode {
		return c.expected(n, path, "a command line or a list of words")
	}
	if n.IsPlainValue() {
		return c.quoteIt(n, path)
	}
	words, operator, problem := SplitWords(n.Text)
	if problem != "" {
		return c.fail(n, path, problem, "write the command as a list of words")
	}
	if operator != 0 {
		c.warn(n, path, fmt.Sprintf("no shell reads this line: %q is a character like any other", string(operator)),
			`quote it, or write ["sh", "-c", "..."]`)
	}
	out := n.As(tree.ListNode)
	for _, w := range words {
		out.Items = append(out.Items, n.Scalar("!!str", w))
	}
	return out
}

// SplitWords splits a command line as a shell does: quotes and backslashes,
// no variables. The first character that would be an operator of a shell is
// kept as it is and reported.
func SplitWords(s string) (words []string, operator byte, problem string) {
	var b strings.Builder
	var quote byte
	started := false
	for i := 0; i < len(s); i++ {
		ch := s[i]
		switch {
		case ch == '\\' && quote != '\'':
			if i++; i < len(s) {
				b.WriteByte(escaped(s[i]))
				started = true
			}
		case quote != 0 && ch == quote:
			quote = 0
		case quote != 0:
			b.WriteByte(ch)
		case ch == '\'' || ch == '"':
			quote, started = ch, true
		case strings.IndexByte(" \t\r\n", ch) >= 0:
			if started {
				words = append(words, b.String())
				b.Reset()
				started = false
			}
		default:
			if operator == 0 && strings.IndexByte(";&|<>", ch) >= 0 {
				operator = ch
			}
			b.WriteByte(ch)
			started = true
		}
	}
	if quote != 0 {
		return nil, 0, fmt.Sprintf("the quote %c of the command line is not closed", quote)
	}
	if started {
		words = append(words, b.String())
	}
	return words, operator, ""
}

// escaped is what a backslash before c means; \t and \n are what Compose makes of them.
func escaped(c byte) byte {
	switch c {
	case 't':
		return '\t'
	case 'n':
		return '\n'
	}
	return c
}

// probe brings a health check's test into its list form.
func (c *Conformer) probe(n *tree.Node, path string) *tree.Node {
	if n.IsPlainValue() {
		return c.quoteIt(n, path)
	}
	if n.Kind == tree.ScalarNode {
		out := n.As(tree.ListNode)
		out.Items = []*tree.Node{n.Scalar("!!str", "CMD-SHELL"), n.Scalar("!!str", n.Text)}
		return out
	}
	out := c.texts(n, false, path)
	if out.Kind != tree.ListNode || len(out.Items) == 0 || out.Items[0].Kind != tree.ScalarNode {
		return out
	}
	form := out.Items[0].Text
	hint := `write ["CMD", ...], ["CMD-SHELL", "..."] or ["NONE"]`
	switch {
	case form != "CMD" && form != "CMD-SHELL" && form != "NONE":
		return c.fail(out.Items[0], path, fmt.Sprintf("a test starts with CMD, CMD-SHELL or NONE, not %q", spec.Shorten(form)), hint)
	case form == "CMD-SHELL" && len(out.Items) < 2:
		return c.fail(out.Items[0], path, "CMD-SHELL needs a shell line", hint)
	case form == "CMD" && len(out.Items) < 2:
		return c.fail(out.Items[0], path, "CMD needs a command", hint)
	}
	return out
}

// envFiles brings env_file into a list of {path, required, format}.
func (c *Conformer) envFiles(n *tree.Node, k *schema.Key, path string) *tree.Node {
	if n.Kind == tree.ScalarNode {
		n = &tree.Node{Kind: tree.ListNode, Items: []*tree.Node{n}, At: n.At, Width: n.Width}
	}
	return c.list(n, path, func(item *tree.Node, path string) *tree.Node {
		if item.Kind == tree.ScalarNode {
			item = item.Mapping(item.With("path", item))
		}
		out := c.Object(item, k.Keys, path)
		if out.Kind != tree.MapNode {
			return out
		}
		if out.Value("path") == nil {
			return c.fail(item, path, "path is missing", "write path: and the file")
		}
		if p := out.Value("path"); p.Kind == tree.ScalarNode {
			made := p.Scalar("!!str", c.absolute(p.Text))
			made.SetOrigin(p.Text, p.Unset())
			out.Set(tree.Field{Key: "path", At: out.Field("path").At, Width: out.Field("path").Width, Value: made})
		}
		if out.Value("required") == nil {
			out.Set(item.With("required", item.Scalar("!!bool", "true")))
		}
		return out
	})
}

// paths brings a path or a list of paths into a list of absolute ones.
func (c *Conformer) paths(n *tree.Node, path string) *tree.Node {
	out := c.texts(n, true, path)
	for i, item := range out.Items {
		if item.Kind == tree.ScalarNode {
			made := item.Scalar("!!str", c.absolute(item.Text))
			made.SetOrigin(item.Text, item.Unset())
			out.Items[i] = made
		}
	}
	return out
}

// hosts brings extra_hosts into a list of NAME=ADDRESS.
func (c *Conformer) hosts(n *tree.Node, path string) *tree.Node {
	if slices.ContainsFunc(n.Items, c.isUnfilled) {
		return n
	}
	out := &tree.Node{Kind: tree.ListNode, At: n.At, Width: n.Width}
	add := func(item *tree.Node, name, addresses, path string) {
		for address := range strings.SplitSeq(addresses, ",") {
			c.host(out, item, name, strings.TrimSpace(address), path)
		}
	}
	switch n.Kind {
	case tree.MapNode:
		for _, f := range n.Fields {
			values := []*tree.Node{f.Value}
			if f.Value.Kind == tree.ListNode {
				values = f.Value.Items
			}
			for _, v := range values {
				if v.Kind != tree.ScalarNode {
					c.expected(v, tree.Join(path, f.Key), "an IP address")
					continue
				}
				add(v, f.Key, v.Text, tree.Join(path, f.Key))
			}
		}
	case tree.ListNode:
		for i, item := range n.Items {
			if item.Kind == tree.BadNode {
				out.Items = append(out.Items, item)
				continue
			}
			if item.Kind != tree.ScalarNode {
				c.expected(item, tree.Indexed(path, i), "NAME=ADDRESS")
				continue
			}
			name, address, ok := strings.Cut(item.Text, "=")
			if !ok {
				name, address, _ = strings.Cut(item.Text, ":")
			}
			add(item, name, address, tree.Indexed(path, i))
		}
	default:
		return c.expected(n, path, "a list of NAME=ADDRESS or a mapping")
	}
	return out
}

// host adds a NAME=ADDRESS to a list.
func (c *Conformer) host(to, item *tree.Node, name, address, path string) {
	address = strings.TrimSuffix(strings.TrimPrefix(address, "["), "]")
	if name == "" || address == "" {
		c.fail(item, path, fmt.Sprintf("bad host %q", spec.Shorten(item.Text)), "write it as NAME=ADDRESS")
		return
	}
	if _, err := netip.ParseAddr(address); err != nil && address != "host-gateway" {
		c.fail(item, path, fmt.Sprintf("%q is not an IP address", spec.Shorten(address)), "write an address, or host-gateway")
		return
	}
	made := item.Scalar("!!str", name+"="+address)
	made.SetUnset(item.Unset())
	to.Items = append(to.Items, made)
}

// limits checks ulimits: a number, or soft and hard.
func (c *Conformer) limits(n *tree.Node, k *schema.Key, path string) *tree.Node {
	if n.Kind != tree.MapNode {
		return c.expected(n, path, "a mapping of limits")
	}
	out := n.Mapping()
	for _, f := range n.Fields {
		at := tree.Join(path, f.Key)
		mode := f.Value.Merge
		switch f.Value.Kind {
		case tree.ScalarNode:
			f.Value = c.scalar(f.Value, &schema.Key{Shape: schema.Integer}, at)
		case tree.MapNode:
			limit := f.Value
			f.Value = c.Object(limit, k.Keys, at)
			if f.Value.Kind == tree.MapNode && (f.Value.Value("soft") == nil || f.Value.Value("hard") == nil) {
				f.Value = c.fail(limit, at, "a limit needs both soft and hard", "or write one number for both")
			}
		case tree.NullNode, tree.ListNode:
			if mode != tree.MergeReset {
				f.Value = c.expected(f.Value, at, "a number, or soft and hard")
			}
		}
		f.Value.Merge = mode
		out.Fields = append(out.Fields, f)
	}
	return out
}

// agents brings the ssh agents and keys of a build into a mapping of IDs to absolute
// paths; the caller's own agent has none.
func (c *Conformer) agents(n *tree.Node, path string) *tree.Node {
	if n.Kind == tree.ListNode {
		for i, item := range n.Items {
			if id, _, isPair := strings.Cut(item.Text, "="); item.Kind == tree.ScalarNode && (id == "" || !isPair && id != "default") {
				return c.fail(item, tree.Indexed(path, i), fmt.Sprintf("%q is neither default nor ID=PATH", spec.Shorten(item.Text)), "a key or the socket of an agent has an ID and a path")
			}
		}
	}
	out := c.pairs(n, false, path)
	for i := range out.Fields {
		v := out.Fields[i].Value
		switch {
		case v.Kind != tree.ScalarNode:
		case v.Text == "":
			out.Fields[i].Value = v.As(tree.NullNode)
		default:
			v.Text = c.absolute(v.Text)
		}
	}
	return out
}
