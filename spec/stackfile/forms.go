package stackfile

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/schema"
)

// command brings a command line into its words.
func (c *conformer) command(n *node, path string) *node {
	if n.kind == listNode {
		return c.texts(n, false, path)
	}
	if n.kind != scalarNode {
		return c.expected(n, path, "a command line or a list of words")
	}
	if n.isPlainValue() {
		return c.quoteIt(n, path)
	}
	words, operator, problem := splitWords(n.text)
	if problem != "" {
		return c.fail(n, path, problem, "write the command as a list of words")
	}
	if operator != 0 {
		c.warn(n, path, fmt.Sprintf("no shell reads this line: %q is a character like any other", string(operator)),
			`quote it, or write ["sh", "-c", "..."]`)
	}
	out := &node{kind: listNode, at: n.at, width: n.width, unset: n.unset}
	for _, w := range words {
		out.items = append(out.items, n.scalar("!!str", w))
	}
	return out
}

// splitWords splits a command line as a shell does: quotes and backslashes,
// no variables. The first character that would be an operator of a shell is
// kept as it is and reported.
func splitWords(s string) (words []string, operator byte, problem string) {
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
func (c *conformer) probe(n *node, path string) *node {
	if n.isPlainValue() {
		return c.quoteIt(n, path)
	}
	if n.kind == scalarNode {
		out := &node{kind: listNode, at: n.at, width: n.width, unset: n.unset}
		out.items = []*node{n.scalar("!!str", "CMD-SHELL"), n.scalar("!!str", n.text)}
		return out
	}
	out := c.texts(n, false, path)
	if out.kind != listNode || len(out.items) == 0 || out.items[0].kind != scalarNode {
		return out
	}
	form := out.items[0].text
	hint := `write ["CMD", ...], ["CMD-SHELL", "..."] or ["NONE"]`
	switch {
	case form != "CMD" && form != "CMD-SHELL" && form != "NONE":
		return c.fail(out.items[0], path, fmt.Sprintf("a test starts with CMD, CMD-SHELL or NONE, not %q", spec.Shorten(form)), hint)
	case form == "CMD-SHELL" && len(out.items) < 2:
		return c.fail(out.items[0], path, "CMD-SHELL needs a shell line", hint)
	case form == "CMD" && len(out.items) < 2:
		return c.fail(out.items[0], path, "CMD needs a command", hint)
	}
	return out
}

// envFiles brings env_file into a list of {path, required, format}.
func (c *conformer) envFiles(n *node, k *schema.Key, path string) *node {
	if n.kind == scalarNode {
		n = &node{kind: listNode, items: []*node{n}, at: n.at, width: n.width}
	}
	return c.list(n, path, func(item *node, path string) []*node {
		if item.kind == scalarNode {
			item = item.mapping(item.with("path", item))
		}
		out := c.object(item, k.Keys, path)
		if out.kind != mapNode {
			return []*node{out}
		}
		if out.value("path") == nil {
			return []*node{c.fail(item, path, "path is missing", "write path: and the file")}
		}
		if p := out.value("path"); p.kind == scalarNode {
			made := p.scalar("!!str", c.absolute(p.text))
			made.unset, made.raw = p.unset, p.text
			out.set(field{"path", out.field("path").at, out.field("path").width, made})
		}
		if out.value("required") == nil {
			out.set(item.with("required", item.scalar("!!bool", "true")))
		}
		return []*node{out}
	})
}

// paths brings a path or a list of paths into a list of absolute ones.
func (c *conformer) paths(n *node, path string) *node {
	out := c.texts(n, true, path)
	for i, item := range out.items {
		if item.kind == scalarNode {
			made := item.scalar("!!str", c.absolute(item.text))
			made.unset, made.raw = item.unset, item.text
			out.items[i] = made
		}
	}
	return out
}

// hosts brings extra_hosts into a list of NAME=ADDRESS.
func (c *conformer) hosts(n *node, path string) *node {
	out := &node{kind: listNode, at: n.at, width: n.width}
	add := func(item *node, name, addresses, path string) {
		for address := range strings.SplitSeq(addresses, ",") {
			c.host(out, item, name, strings.TrimSpace(address), path)
		}
	}
	switch n.kind {
	case mapNode:
		for _, f := range n.fields {
			values := []*node{f.value}
			if f.value.kind == listNode {
				values = f.value.items
			}
			for _, v := range values {
				if v.kind != scalarNode {
					c.expected(v, join(path, f.key), "an IP address")
					continue
				}
				add(v, f.key, v.text, join(path, f.key))
			}
		}
	case listNode:
		for i, item := range n.items {
			if item.kind == badNode {
				out.items = append(out.items, item)
				continue
			}
			if item.kind != scalarNode {
				c.expected(item, indexed(path, i), "NAME=ADDRESS")
				continue
			}
			name, address, ok := strings.Cut(item.text, "=")
			if !ok {
				name, address, _ = strings.Cut(item.text, ":")
			}
			add(item, name, address, indexed(path, i))
		}
	default:
		return c.expected(n, path, "a list of NAME=ADDRESS or a mapping")
	}
	return out
}

// host adds a NAME=ADDRESS to a list.
func (c *conformer) host(to, item *node, name, address, path string) {
	address = strings.TrimSuffix(strings.TrimPrefix(address, "["), "]")
	if name == "" || address == "" {
		c.fail(item, path, fmt.Sprintf("bad host %q", spec.Shorten(item.text)), "write it as NAME=ADDRESS")
		return
	}
	if _, err := netip.ParseAddr(address); err != nil && address != "host-gateway" {
		c.fail(item, path, fmt.Sprintf("%q is not an IP address", spec.Shorten(address)), "write an address, or host-gateway")
		return
	}
	made := item.scalar("!!str", name+"="+address)
	made.unset = item.unset
	to.items = append(to.items, made)
}

// limits checks ulimits: a number, or soft and hard.
func (c *conformer) limits(n *node, k *schema.Key, path string) *node {
	if n.kind != mapNode {
		return c.expected(n, path, "a mapping of limits")
	}
	out := n.mapping()
	for _, f := range n.fields {
		at := join(path, f.key)
		mode := f.value.merge
		switch f.value.kind {
		case scalarNode:
			f.value = c.scalar(f.value, &schema.Key{Shape: schema.Integer}, at)
		case mapNode:
			limit := f.value
			f.value = c.object(limit, k.Keys, at)
			if f.value.kind == mapNode && (f.value.value("soft") == nil || f.value.value("hard") == nil) {
				f.value = c.fail(limit, at, "a limit needs both soft and hard", "or write one number for both")
			}
		case nullNode, listNode:
			if mode != mergeReset {
				f.value = c.expected(f.value, at, "a number, or soft and hard")
			}
		}
		f.value.merge = mode
		out.fields = append(out.fields, f)
	}
	return out
}
