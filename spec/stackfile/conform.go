package stackfile

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/schema"
)

// conformer checks the tree of one file against the table of keys and brings
// it into canonical form: short forms become long ones, lists of pairs become
// mappings, relative paths absolute. A mistake is reported once and its value
// becomes bad, so that nothing later complains of it again.
type conformer struct {
	l     *loader
	base  string // directory that relative paths start from
	quiet bool   // below a key that is not carried out: only mistakes are told
}

func (c *conformer) fail(n *node, path, message, hint string) *node {
	c.l.fail(n, path, message, hint)
	return n.bad()
}

// expected reports a value of the wrong type.
func (c *conformer) expected(n *node, path, what string) *node {
	return c.fail(n, path, "expected "+what+", not "+n.describe(), "")
}

// object checks a mapping with known keys.
func (c *conformer) object(n *node, keys []schema.Key, path string) *node {
	if n.kind == badNode || n.merge == mergeReset {
		return n
	}
	if n.kind != mapNode {
		return c.expected(n, path, "a mapping")
	}
	out := n.mapping()
	for _, f := range n.fields {
		now := presentName(f.key, keys)
		isFormer := now != f.key
		f.key = now
		if c.field(&f, keys, path) {
			out.take(f, isFormer, schema.Find(keys, f.key))
		}
	}
	c.standIn(n, out, keys)
	return out
}

// standIn puts a bad value in the place of each key that was misspelt, so
// that nobody complains of its absence too.
func (c *conformer) standIn(n, out *node, keys []schema.Key) {
	for _, f := range n.fields {
		if strings.HasPrefix(f.key, "x-") || schema.Find(keys, f.key) != nil {
			continue
		}
		if meant := spec.Nearest(f.key, schema.Names(keys)); meant != "" && n.field(meant) == nil && schema.Find(keys, meant).Level != schema.NotYet {
			out.set(field{meant, f.at, f.width, &node{kind: badNode, at: f.at, width: f.width}})
		}
	}
}

// field checks one entry of an object and says whether it is kept.
func (c *conformer) field(f *field, keys []schema.Key, path string) bool {
	if strings.HasPrefix(f.key, "x-") {
		return true
	}
	at := &node{at: f.at, width: f.width}
	k := schema.Find(keys, f.key)
	switch {
	case k == nil:
		c.l.fail(at, path, fmt.Sprintf("unknown key %q", f.key), spec.DidYouMean(f.key, schema.Names(keys)))
		return false
	case k.Level == schema.NotYet:
		return c.ignored(f, k, path)
	case k.Level == schema.Obsolete:
		about := spec.Topic{Subject: join(path, f.key), Text: "obsolete and without meaning"}
		c.l.report(spec.Diagnostic{Severity: spec.Warning, Path: path, About: about, Place: f.at, Width: f.width,
			Message: fmt.Sprintf("%q is obsolete and without meaning", f.key), Hint: "remove it"})
		return false
	case f.value.merge == mergeReset || f.value.kind == badNode:
		return true
	case f.value.kind == nullNode:
		return k.Shape == schema.Command
	}
	mode := f.value.merge
	f.value = c.value(f.value, k, join(path, f.key))
	f.value.merge = mode
	return true
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func indexed(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// value checks a value that is there (neither null nor bad).
func (c *conformer) value(n *node, k *schema.Key, path string) *node {
	if n.kind == badNode {
		return n
	}
	switch k.Shape {
	case schema.String, schema.StringOrNumber, schema.Boolean, schema.Integer, schema.Number, schema.Duration, schema.Bytes, schema.FileMode, schema.DirPath, schema.FilePath:
		return c.scalar(n, k, path)
	case schema.StringList, schema.StringOrList:
		return c.texts(n, k.Shape == schema.StringOrList, path)
	case schema.MappingOrList, schema.Labels:
		return c.pairs(n, k.Shape == schema.Labels, path)
	case schema.Object:
		return c.object(n, k.Keys, path)
	case schema.Named:
		return c.named(n, k, path)
	case schema.ObjectList, schema.Watch:
		return c.list(n, path, func(item *node, path string) []*node { return []*node{c.object(item, k.Keys, path)} })
	case schema.Command:
		return c.command(n, path)
	case schema.HealthTest:
		return c.probe(n, path)
	case schema.Ports:
		return c.ports(n, k, path)
	case schema.Expose:
		return c.list(n, path, c.expose)
	case schema.Mounts:
		return c.list(n, path, func(item *node, path string) []*node { return []*node{c.mount(item, k.Keys, path)} })
	case schema.FileMounts:
		return c.list(n, path, func(item *node, path string) []*node { return []*node{c.fileMount(item, k.Keys, path)} })
	case schema.Networks:
		return c.set(n, k, path, nil)
	case schema.DependsOn:
		return c.set(n, k, path, startedDependency)
	case schema.Build:
		return c.build(n, k, path)
	case schema.EnvFiles:
		return c.envFiles(n, k, path)
	case schema.Hosts:
		return c.hosts(n, path)
	case schema.Ulimits:
		return c.limits(n, k, path)
	case schema.External:
		return c.external(n, path)
	case schema.Contexts:
		return c.contexts(n, path)
	case schema.PathOrList:
		return c.paths(n, path)
	case schema.Devices:
		return c.devices(n, k, path)
	case schema.Schedule:
		return c.list(n, path, func(item *node, path string) []*node { return []*node{c.schedule(item, k, path)} })
	case schema.Umask:
		return c.umask(n, path)
	case schema.Extends:
		if n.kind == scalarNode {
			n = n.mapping(n.with("service", n))
		}
		return c.object(n, k.Keys, path)
	case schema.Include:
		return c.list(n, path, func(item *node, path string) []*node {
			if item.kind == scalarNode {
				item = item.mapping(item.with("path", item))
			}
			return []*node{c.object(item, k.Keys, path)}
		})
	}
	return n
}

// list checks a list; each item may become several.
func (c *conformer) list(n *node, path string, item func(*node, string) []*node) *node {
	if n.kind != listNode {
		return c.expected(n, path, "a list")
	}
	out := *n
	out.items = nil
	for i, it := range n.items {
		if it.kind == badNode {
			out.items = append(out.items, it)
			continue
		}
		out.items = append(out.items, item(it, indexed(path, i))...)
	}
	return &out
}

func (c *conformer) named(n *node, k *schema.Key, path string) *node {
	if n.kind != mapNode {
		return c.expected(n, path, "a mapping of names")
	}
	out := n.mapping()
	for _, f := range n.fields {
		at := &node{at: f.at, width: f.width}
		if strings.HasPrefix(f.key, "x-") && path != "services" {
			continue
		}
		if message := badName(f.key); message != "" {
			c.l.fail(at, path, message, "use letters, digits, dots, dashes and underscores")
			continue
		}
		mode := f.value.merge
		if f.value.kind == nullNode && mode == mergeNormally {
			f.value = &node{kind: mapNode, at: f.at, width: f.width}
		}
		f.value = c.object(f.value, k.Keys, join(path, f.key))
		f.value.merge = mode
		c.adoptExternalName(f.value, join(path, f.key))
		out.fields = append(out.fields, f)
	}
	return out
}

func badName(name string) string {
	if name == "" {
		return "a name is empty"
	}
	for i := range len(name) {
		if !isNameStart(name[i]) && !('0' <= name[i] && name[i] <= '9') && name[i] != '.' && name[i] != '-' {
			return fmt.Sprintf("the name %q holds %q", spec.Shorten(name), string([]rune(name[i:])[0]))
		}
	}
	return ""
}

// textOf is a scalar as text. Numbers and truth values take the form that
// Compose gives them, with a warning where that differs from what is written.
func (c *conformer) textOf(n *node, path string) *node {
	if n.kind != scalarNode {
		return c.expected(n, path, "text")
	}
	out := n.text
	switch n.tag {
	case "!!int":
		if v, err := strconv.ParseInt(plainNumber(n.text), 0, 64); err == nil {
			out = strconv.FormatInt(v, 10)
		}
	case "!!float":
		if v, err := strconv.ParseFloat(plainNumber(n.text), 64); err == nil {
			out = fmt.Sprint(v)
		}
	case "!!bool":
		out = strings.ToLower(n.text)
	}
	if out != n.text {
		c.warn(n, path, fmt.Sprintf("%s is not text for YAML and becomes %q", n.text, out), fmt.Sprintf("quote it: %q", n.text))
	}
	made := n.scalar("!!str", out)
	made.unset, made.raw = n.unset, n.raw
	return made
}

// plainNumber takes the underscores of a YAML number out and spells its old
// octal form (0644) as Go does.
func plainNumber(s string) string { return strings.ReplaceAll(s, "_", "") }

func (c *conformer) texts(n *node, alone bool, path string) *node {
	if alone && n.kind == scalarNode {
		return &node{kind: listNode, items: []*node{c.textOf(n, path)}, at: n.at, width: n.width}
	}
	if alone && n.kind != listNode {
		return c.expected(n, path, "text or a list of texts")
	}
	return c.list(n, path, func(item *node, path string) []*node {
		if item.isPlainValue() {
			return []*node{c.quoteIt(item, path)}
		}
		return []*node{c.textOf(item, path)}
	})
}

// withoutEmpty is a mapping without those of the keys whose values are empty.
func withoutEmpty(n *node, keys ...string) *node {
	out := *n
	out.fields = slices.DeleteFunc(slices.Clone(n.fields), func(f field) bool {
		return slices.Contains(keys, f.key) && f.value.kind == scalarNode && f.value.text == "" && f.value.merge == mergeNormally
	})
	return &out
}

// isPlainValue says whether a scalar is a number or a truth value for YAML.
func (n *node) isPlainValue() bool {
	return n.kind == scalarNode && (n.tag == "!!int" || n.tag == "!!float" || n.tag == "!!bool")
}

func (c *conformer) quoteIt(n *node, path string) *node {
	return c.fail(n, path, "expected text, not "+n.describe(), fmt.Sprintf("quote it: %q", n.text))
}

// pairs brings a mapping, or a list of NAME=VALUE, into a mapping.
func (c *conformer) pairs(n *node, noNulls bool, path string) *node {
	out := n.mapping()
	add := func(f field) {
		switch {
		case f.value.kind == badNode || f.value.merge == mergeReset:
		case f.value.kind == nullNode && noNulls:
			f.value = f.value.scalar("!!str", "")
		case f.value.kind != nullNode:
			mode := f.value.merge
			f.value = c.textOf(f.value, join(path, f.key))
			f.value.merge = mode
		}
		out.set(f)
	}
	switch n.kind {
	case mapNode:
		for _, f := range n.fields {
			add(f)
		}
	case listNode:
		for i, item := range n.items {
			if item.kind == badNode {
				name, _, _ := strings.Cut(item.raw, "=")
				out.set(item.with(name, item))
				continue
			}
			if item.kind != scalarNode {
				c.expected(item, indexed(path, i), "NAME=VALUE")
				continue
			}
			if item.isPlainValue() {
				c.quoteIt(item, indexed(path, i))
				continue
			}
			add(pair(item))
		}
	default:
		return c.expected(n, path, "a mapping or a list of NAME=VALUE")
	}
	return out
}

// pair is the field that "NAME=VALUE" stands for; "NAME" has a null value.
func pair(item *node) field {
	name, value, ok := strings.Cut(item.text, "=")
	made := &node{kind: nullNode, at: item.at, width: item.width, unset: item.unset}
	if ok {
		made.kind, made.tag, made.text = scalarNode, "!!str", value
	}
	return item.with(name, made)
}

// set brings a list of names into a mapping; alone says what a name of a list means.
func (c *conformer) set(n *node, k *schema.Key, path string, alone func(*node) *node) *node {
	out := n.mapping()
	switch n.kind {
	case listNode:
		for i, item := range n.items {
			if item.kind == badNode {
				out.set(item.with(item.raw, item))
				continue
			}
			if item.kind != scalarNode {
				c.expected(item, indexed(path, i), "a name")
				continue
			}
			made := &node{at: item.at, width: item.width, unset: item.unset}
			if alone != nil {
				made = alone(made)
			}
			out.set(item.with(item.text, made))
		}
	case mapNode:
		for _, f := range n.fields {
			mode := f.value.merge
			if f.value.kind != nullNode {
				f.value = c.object(f.value, k.Keys, join(path, f.key))
				f.value.merge = mode
			}
			out.fields = append(out.fields, f)
		}
	default:
		return c.expected(n, path, "a list of names or a mapping")
	}
	return out
}

// startedDependency is an entry of depends_on with the defaults filled in. An
// entry of a list says them, so that it overrides an earlier file's; what a
// mapping leaves out is filled in after merging.
func startedDependency(n *node) *node {
	if n.kind == nullNode {
		made := n.mapping()
		made.unset = n.unset
		n = made
	}
	if n.value("condition") == nil {
		n.set(n.with("condition", n.scalar("!!str", spec.ServiceStarted)))
	}
	if n.value("required") == nil {
		n.set(n.with("required", n.scalar("!!bool", "true")))
	}
	return n
}

func (c *conformer) external(n *node, path string) *node {
	if n.kind != mapNode {
		return c.scalar(n, &schema.Key{Shape: schema.Boolean}, path)
	}
	c.warn(n, path, "a mapping is the old form", "write external: true, and name: beside it")
	return c.object(n, []schema.Key{{Name: "name", Shape: schema.String}}, path)
}

// adoptExternalName brings the old form external: {name: NAME} of a resource
// into external: true, with the name beside it.
func (c *conformer) adoptExternalName(resource *node, path string) {
	old := resource.field("external")
	if old == nil || old.value.kind != mapNode {
		return
	}
	given, name := old.value.field("name"), resource.value("name")
	switch {
	case given == nil || given.value.kind != scalarNode:
	case name == nil:
		resource.set(*given)
	case name.kind == scalarNode && name.text != given.value.text:
		c.fail(given.value, path, fmt.Sprintf("name is %q, but external.name is %q", spec.Shorten(name.text), spec.Shorten(given.value.text)),
			"keep name, and write external: true")
	}
	mode := old.value.merge
	resource.field("external").value = old.value.scalar("!!bool", "true")
	resource.field("external").value.merge = mode
}

// absolute resolves a path of the file.
func (c *conformer) absolute(path string) string {
	if path == "~" || strings.HasPrefix(path, "~/") {
		if home := c.l.opts.Environ["HOME"]; home != "" {
			return filepath.Join(home, path[1:])
		}
	}
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(c.base, path)
}

func (c *conformer) build(n *node, k *schema.Key, path string) *node {
	if n.kind == scalarNode {
		n = n.mapping(n.with("context", n))
	}
	if n.kind != mapNode {
		return c.expected(n, path, "a path or a mapping")
	}
	return c.object(n, k.Keys, path)
}

func (c *conformer) contexts(n *node, path string) *node {
	out := c.pairs(n, true, path)
	for i := range out.fields {
		if v := out.fields[i].value; v.kind == scalarNode && !strings.HasPrefix(v.text, "service:") && !c.isFetched(v.text) {
			v.text = c.absolute(v.text)
		}
	}
	return out
}
