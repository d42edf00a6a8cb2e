// Package forms checks the tree of one file against the table of keys, and brings
// each value into its canonical form. What has to do with other values than its own
// is the stackfile's.
package forms

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/orlop/orlop/spec/tree"
	"github.com/orlop/orlop/spec/variables"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/schema"
)

// Conformer checks the tree of one file against the table of keys and brings
// it into canonical form: short forms become long ones, lists of pairs become
// mappings, relative paths absolute. A mistake is reported once and its value
// becomes bad, so that nothing later complains of it again.
type Conformer struct {
	Reporter   tree.Reporter
	Base       string // directory that relative paths start from
	Home       string // of the caller; "" if it has none
	AllowUnset bool   // unset variables may stand in images and mounts
	KeepPaths  bool   // relative paths stay so
	quiet      bool   // below a key that is not carried out: only mistakes are told
	spare      *spare // made in advance
}

func (c *Conformer) fail(n *tree.Node, path, message, hint string) *tree.Node {
	if c.isUnfilled(n) {
		return n // nobody knows yet what it is
	}
	c.Reporter.Fail(n, path, message, hint)
	return n.Bad()
}

// expected reports a value of the wrong type.
func (c *Conformer) expected(n *tree.Node, path, what string) *tree.Node {
	return c.fail(n, path, "expected "+what+", not "+n.Describe(), "")
}

// Object checks a mapping with known keys.
func (c *Conformer) Object(n *tree.Node, keys []schema.Key, path string) *tree.Node {
	if n.Kind == tree.BadNode || n.Merge == tree.MergeReset {
		return n
	}
	if n.Kind != tree.MapNode {
		return c.expected(n, path, "a mapping")
	}
	var room [32]*schema.Key
	rows := room[:0]
	for i := range n.Fields {
		key := n.Fields[i].Key
		row := schema.Find(keys, key)
		if isExtension := strings.HasPrefix(key, "x-"); row == nil && !isExtension || isExtension && tree.PresentName(key, keys) != key {
			return c.unusual(n, keys, path)
		}
		rows = append(rows, row)
	}
	kept := n.Fields[:0]
	for i, row := range rows {
		f := n.Fields[i]
		if c.field(&f, row, keys, path) {
			kept = append(kept, f)
		}
	}
	n.Fields = kept
	return n
}

// unusual checks a mapping that has unknown keys, or some by their former names.
func (c *Conformer) unusual(n *tree.Node, keys []schema.Key, path string) *tree.Node {
	out := n.Mapping(make([]tree.Field, 0, len(n.Fields))...)
	for _, f := range n.Fields {
		now := tree.PresentName(f.Key, keys)
		isFormer := now != f.Key
		f.Key = now
		k := schema.Find(keys, f.Key)
		if c.field(&f, k, keys, path) {
			out.Take(f, isFormer, k)
		}
	}
	c.standIn(n, out, keys)
	return out
}

// standIn puts a bad value in the place of each key that was misspelt, so
// that nobody complains of its absence too.
func (c *Conformer) standIn(n, out *tree.Node, keys []schema.Key) {
	for _, f := range n.Fields {
		if strings.HasPrefix(f.Key, "x-") || schema.Find(keys, f.Key) != nil {
			continue
		}
		if meant := spec.Nearest(f.Key, schema.Names(keys)); meant != "" && n.Field(meant) == nil && schema.Find(keys, meant).Level != schema.Unsupported {
			out.Set(tree.Field{Key: meant, At: f.At, Width: f.Width, Value: &tree.Node{Kind: tree.BadNode, At: f.At, Width: f.Width}})
		}
	}
}

// field checks one entry of an object and says whether it is kept.
func (c *Conformer) field(f *tree.Field, k *schema.Key, keys []schema.Key, path string) bool {
	if strings.HasPrefix(f.Key, "x-") {
		return true
	}
	switch {
	case k == nil:
		c.Reporter.Fail(&tree.Node{At: f.At, Width: f.Width}, path, fmt.Sprintf("unknown key %q", f.Key), spec.DidYouMean(f.Key, schema.Names(keys)))
		return false
	case k.Level == schema.Unsupported:
		return c.ignored(f, k, path)
	case k.Level == schema.NoEffect:
		return c.unheeded(f, k, path)
	case k.Level == schema.Obsolete:
		about := spec.Topic{Subject: tree.Join(path, f.Key), Text: "obsolete and without meaning"}
		c.Reporter.Report(spec.Diagnostic{Severity: spec.Warning, Path: path, About: about, Place: f.At, Width: f.Width,
			Message: fmt.Sprintf("%q is obsolete and without meaning", f.Key), Hint: "remove it"})
		return false
	case f.Value.Merge == tree.MergeReset || f.Value.Kind == tree.BadNode:
		return true
	case f.Value.Kind == tree.NullNode && k.Shape == schema.SSH:
		c.expected(f.Value, tree.Join(path, f.Key), "a value")
		return false
	case f.Value.Kind == tree.NullNode:
		return k.Shape == schema.Command
	}
	if isCanonical(f.Value, k) {
		return true
	}
	mode := f.Value.Merge
	f.Value = c.value(f.Value, k, tree.Join(path, f.Key))
	f.Value.Merge = mode
	return true
}

// isCanonical says that a value is as it is to be, by its looks: most are.
func isCanonical(n *tree.Node, k *schema.Key) bool {
	switch k.Shape {
	case schema.String:
		return isText(n) && (k.Words == nil || slices.Contains(k.Words, n.Text))
	case schema.StringOrNumber, schema.StringOrFlag:
		return isText(n)
	case schema.MappingOrList, schema.Labels:
		return n.Kind == tree.MapNode && !slices.ContainsFunc(n.Fields, func(f tree.Field) bool { return !isText(f.Value) })
	case schema.StringList, schema.StringOrList, schema.Command:
		return n.Kind == tree.ListNode && !slices.ContainsFunc(n.Items, func(item *tree.Node) bool { return !isText(item) })
	}
	return false
}

// isText says that a value is text as it is, wherever text is asked for.
func isText(n *tree.Node) bool {
	return n.Kind == tree.ScalarNode && n.Tag == "!!str" && n.Merge == tree.MergeNormally && n.Vars() == nil
}

// value checks a value that is there (neither null nor bad).
func (c *Conformer) value(n *tree.Node, k *schema.Key, path string) *tree.Node {
	if n.Kind == tree.BadNode || c.isUnfilled(n) && k.Shape != schema.Build {
		return n
	}
	switch k.Shape {
	case schema.String, schema.StringOrNumber, schema.Boolean, schema.Integer, schema.Number, schema.Duration, schema.Bytes, schema.BytesOrUnlimited, schema.Microseconds, schema.FileMode, schema.StringOrFlag, schema.DirPath, schema.FilePath:
		return c.scalar(n, k, path)
	case schema.StringList, schema.StringOrList:
		return c.texts(n, k.Shape == schema.StringOrList, path)
	case schema.StringOrNumberList:
		return c.list(n, path, func(item *tree.Node, path string) *tree.Node { return c.textOf(item, path) })
	case schema.MappingOrList, schema.Labels:
		return c.pairs(n, k.Shape == schema.Labels, path)
	case schema.Object, schema.Logging:
		return c.Object(n, k.Keys, path)
	case schema.Options:
		return c.options(n, path)
	case schema.Named:
		return c.named(n, k, path)
	case schema.ObjectList, schema.Watch:
		return c.list(n, path, func(item *tree.Node, path string) *tree.Node { return c.Object(item, k.Keys, path) })
	case schema.Command:
		return c.command(n, path)
	case schema.HealthTest:
		return c.probe(n, path)
	case schema.Ports:
		return c.ports(n, k, path)
	case schema.Expose:
		return c.list(n, path, c.expose)
	case schema.Mounts:
		return c.list(n, path, func(item *tree.Node, path string) *tree.Node { return c.mount(item, k.Keys, path) })
	case schema.FileMounts:
		return c.list(n, path, func(item *tree.Node, path string) *tree.Node { return c.fileMount(item, k.Keys, path) })
	case schema.Networks:
		return c.set(n, k, path, nil)
	case schema.DependsOn:
		return c.set(n, k, path, StartedDependency)
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
	case schema.SSH:
		return c.agents(n, path)
	case schema.PathOrList:
		return c.paths(n, path)
	case schema.Devices:
		return c.devices(n, k, path)
	case schema.DeviceNodes:
		return c.list(n, path, func(item *tree.Node, path string) *tree.Node { return c.deviceNode(item, k.Keys, path) })
	case schema.Schedule:
		return c.list(n, path, func(item *tree.Node, path string) *tree.Node { return c.schedule(item, k, path) })
	case schema.Umask:
		return c.umask(n, path)
	case schema.Extends:
		if n.Kind == tree.ScalarNode {
			n = n.Mapping(n.With("service", n))
		}
		return c.Object(n, k.Keys, path)
	case schema.Include:
		return c.list(n, path, func(item *tree.Node, path string) *tree.Node {
			if item.Kind == tree.ScalarNode {
				item = item.Mapping(item.With("path", item))
			}
			return c.Object(item, k.Keys, path)
		})
	}
	return n
}

// isUnfilled says that a value holds variables that nobody fills in.
func (c *Conformer) isUnfilled(n *tree.Node) bool {
	return c.Reporter.IsUnfilled(n)
}

// list checks a list.
func (c *Conformer) list(n *tree.Node, path string, item func(*tree.Node, string) *tree.Node) *tree.Node {
	if n.Kind != tree.ListNode {
		return c.expected(n, path, "a list")
	}
	for i, it := range n.Items {
		if it.Kind != tree.BadNode && !c.isUnfilled(it) {
			n.Items[i] = item(it, tree.Indexed(path, i))
		}
	}
	return n
}

func (c *Conformer) named(n *tree.Node, k *schema.Key, path string) *tree.Node {
	if n.Kind != tree.MapNode {
		return c.expected(n, path, "a mapping of names")
	}
	kept := n.Fields[:0]
	for _, f := range n.Fields {
		if strings.HasPrefix(f.Key, "x-") && path != "services" {
			continue
		}
		if message := BadName(f.Key); message != "" {
			c.Reporter.Fail(&tree.Node{At: f.At, Width: f.Width}, path, message, "use letters, digits, dots, dashes and underscores")
			continue
		}
		mode := f.Value.Merge
		if f.Value.Kind == tree.NullNode && mode == tree.MergeNormally {
			f.Value = &tree.Node{Kind: tree.MapNode, At: f.At, Width: f.Width}
		}
		f.Value = c.Object(f.Value, k.Keys, tree.Join(path, f.Key))
		f.Value.Merge = mode
		c.adoptExternalName(f.Value, tree.Join(path, f.Key))
		c.bindDevice(f.Value)
		kept = append(kept, f)
	}
	n.Fields = kept
	return n
}

// BadName says what is wrong with a name, "" if nothing is.
func BadName(name string) string {
	if name == "" {
		return "a name is empty"
	}
	for i := range len(name) {
		if !variables.IsNameStart(name[i]) && !('0' <= name[i] && name[i] <= '9') && name[i] != '.' && name[i] != '-' {
			return fmt.Sprintf("the name %q holds %q", spec.Shorten(name), string([]rune(name[i:])[0]))
		}
	}
	return ""
}

// textOf is a scalar as text. Numbers and truth values take the form that
// Compose gives them, with a warning where that differs from what is written.
func (c *Conformer) textOf(n *tree.Node, path string) *tree.Node {
	if n.Kind != tree.ScalarNode {
		return c.expected(n, path, "text")
	}
	if isText(n) {
		return n
	}
	out := n.Text
	switch n.Tag {
	case "!!int":
		if v, err := strconv.ParseInt(tree.PlainNumber(n.Text), 0, 64); err == nil {
			out = strconv.FormatInt(v, 10)
		}
	case "!!float":
		if v, err := strconv.ParseFloat(tree.PlainNumber(n.Text), 64); err == nil {
			out = fmt.Sprint(v)
		}
	case "!!bool":
		out = strings.ToLower(n.Text)
	}
	if out != n.Text {
		c.warn(n, path, fmt.Sprintf("%s is not text for YAML and becomes %q", n.Text, out), fmt.Sprintf("quote it: %q", n.Text))
	}
	made := n.Scalar("!!str", out)
	made.SetOrigin(n.Raw(), n.Unset())
	return made
}

func (c *Conformer) texts(n *tree.Node, alone bool, path string) *tree.Node {
	if alone && n.Kind == tree.ScalarNode {
		return &tree.Node{Kind: tree.ListNode, Items: []*tree.Node{c.textOf(n, path)}, At: n.At, Width: n.Width}
	}
	if alone && n.Kind != tree.ListNode {
		return c.expected(n, path, "text or a list of texts")
	}
	return c.list(n, path, func(item *tree.Node, path string) *tree.Node {
		if item.IsPlainValue() {
			return c.quoteIt(item, path)
		}
		return c.textOf(item, path)
	})
}

// withoutEmpty is a mapping without those of the keys whose values are empty.
func withoutEmpty(n *tree.Node, keys ...string) *tree.Node {
	out := *n
	out.Fields = slices.DeleteFunc(slices.Clone(n.Fields), func(f tree.Field) bool {
		return slices.Contains(keys, f.Key) && f.Value.Kind == tree.ScalarNode && f.Value.Text == "" && f.Value.Merge == tree.MergeNormally
	})
	return &out
}

// options brings each value of a mapping into a list of texts.
func (c *Conformer) options(n *tree.Node, path string) *tree.Node {
	if n.Kind != tree.MapNode {
		return c.expected(n, path, "a mapping of options")
	}
	out := n.Mapping()
	for _, f := range n.Fields {
		at, mode := tree.Join(path, f.Key), f.Value.Merge
		switch f.Value.Kind {
		case tree.ScalarNode:
			f.Value = &tree.Node{Kind: tree.ListNode, Items: []*tree.Node{c.textOf(f.Value, at)}, At: f.Value.At, Width: f.Value.Width}
		case tree.ListNode:
			f.Value = c.list(f.Value, at, func(item *tree.Node, path string) *tree.Node { return c.textOf(item, path) })
		case tree.BadNode:
		default:
			f.Value = c.expected(f.Value, at, "text or a list of texts")
		}
		f.Value.Merge = mode
		out.Fields = append(out.Fields, f)
	}
	return out
}

func (c *Conformer) quoteIt(n *tree.Node, path string) *tree.Node {
	return c.fail(n, path, "expected text, not "+n.Describe(), fmt.Sprintf("quote it: %q", n.Text))
}

// pairs brings a mapping, or a list of NAME=VALUE, into a mapping.
func (c *Conformer) pairs(n *tree.Node, noNulls bool, path string) *tree.Node {
	out := n.Mapping()
	add := func(f tree.Field) {
		switch {
		case f.Value.Kind == tree.BadNode || f.Value.Merge == tree.MergeReset:
		case f.Value.Kind == tree.NullNode && noNulls:
			f.Value = f.Value.Scalar("!!str", "")
		case f.Value.Kind != tree.NullNode:
			mode := f.Value.Merge
			f.Value = c.textOf(f.Value, tree.Join(path, f.Key))
			f.Value.Merge = mode
		}
		out.Set(f)
	}
	switch n.Kind {
	case tree.MapNode:
		for _, f := range n.Fields {
			add(f)
		}
	case tree.ListNode:
		for i, item := range n.Items {
			if item.Kind == tree.BadNode {
				name, _, _ := strings.Cut(item.Raw(), "=")
				out.Set(item.With(name, item))
				continue
			}
			if item.Kind != tree.ScalarNode {
				c.expected(item, tree.Indexed(path, i), "NAME=VALUE")
				continue
			}
			if item.IsPlainValue() {
				c.quoteIt(item, tree.Indexed(path, i))
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
func pair(item *tree.Node) tree.Field {
	name, value, ok := strings.Cut(item.Text, "=")
	made := item.As(tree.NullNode)
	if ok {
		made.Kind, made.Tag, made.Text = tree.ScalarNode, "!!str", value
	}
	return item.With(name, made)
}

// set brings a list of names into a mapping; alone says what a name of a list means.
func (c *Conformer) set(n *tree.Node, k *schema.Key, path string, alone func(*tree.Node) *tree.Node) *tree.Node {
	switch n.Kind {
	case tree.ListNode:
		return c.setOf(n, path, alone)
	case tree.MapNode:
		for i := range n.Fields {
			f := &n.Fields[i]
			if mode := f.Value.Merge; f.Value.Kind != tree.NullNode {
				f.Value = c.Object(f.Value, k.Keys, tree.Join(path, f.Key))
				f.Value.Merge = mode
			}
		}
		return n
	}
	return c.expected(n, path, "a list of names or a mapping")
}

func (c *Conformer) setOf(n *tree.Node, path string, alone func(*tree.Node) *tree.Node) *tree.Node {
	out := n.Mapping(c.fields(len(n.Items))...)
	for i, item := range n.Items {
		if item.Kind == tree.BadNode {
			out.Set(item.With(item.Raw(), item))
			continue
		}
		if item.Kind != tree.ScalarNode {
			c.expected(item, tree.Indexed(path, i), "a name")
			continue
		}
		name := item.Text
		made, unset := item, item.Unset()
		*made = tree.Node{At: item.At, Width: item.Width}
		made.SetUnset(unset)
		if alone != nil {
			made = alone(made)
		}
		out.Set(item.With(name, made))
	}
	return out
}

// StartedDependency is an entry of depends_on with the defaults filled in. An
// entry of a list says them, so that it overrides an earlier file's; what a
// mapping leaves out is filled in after merging.
func StartedDependency(n *tree.Node) *tree.Node {
	if n.Kind == tree.NullNode {
		made := n.Mapping()
		made.SetUnset(n.Unset())
		n = made
	}
	if n.Value("condition") == nil {
		n.Set(n.With("condition", n.Scalar("!!str", spec.ServiceStarted)))
	}
	if n.Value("required") == nil {
		n.Set(n.With("required", n.Scalar("!!bool", "true")))
	}
	return n
}

func (c *Conformer) external(n *tree.Node, path string) *tree.Node {
	if n.Kind != tree.MapNode {
		return c.scalar(n, &schema.Key{Shape: schema.Boolean}, path)
	}
	c.warn(n, path, "a mapping is the old form", "write external: true, and name: beside it")
	return c.Object(n, []schema.Key{{Name: "name", Shape: schema.String}}, path)
}

// adoptExternalName brings the old form external: {name: NAME} of a resource
// into external: true, with the name beside it.
func (c *Conformer) adoptExternalName(resource *tree.Node, path string) {
	old := resource.Field("external")
	if old == nil || old.Value.Kind != tree.MapNode {
		return
	}
	given, name := old.Value.Field("name"), resource.Value("name")
	switch {
	case given == nil || given.Value.Kind != tree.ScalarNode:
	case name == nil:
		resource.Set(*given)
	case name.Kind == tree.ScalarNode && name.Text != given.Value.Text:
		c.fail(given.Value, path, fmt.Sprintf("name is %q, but external.name is %q", spec.Shorten(name.Text), spec.Shorten(given.Value.Text)),
			"keep name, and write external: true")
	}
	mode := old.Value.Merge
	resource.Field("external").Value = old.Value.Scalar("!!bool", "true")
	resource.Field("external").Value.Merge = mode
}

// absolute resolves a path of the file.
func (c *Conformer) absolute(path string) string {
	if c.KeepPaths || c.Reporter.Unfilled && strings.HasPrefix(path, "$") {
		return path
	}
	return c.located(path)
}

// located is where a path of the file is.
func (c *Conformer) located(path string) string {
	if path == "~" || strings.HasPrefix(path, "~/") {
		if home := c.Home; home != "" {
			return filepath.Join(home, path[1:])
		}
	}
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(c.Base, path)
}

func (c *Conformer) build(n *tree.Node, k *schema.Key, path string) *tree.Node {
	if n.Kind == tree.ScalarNode {
		n = n.Mapping(n.With("context", n))
	}
	if n.Kind != tree.MapNode {
		return c.expected(n, path, "a path or a mapping")
	}
	return c.Object(n, k.Keys, path)
}

func (c *Conformer) contexts(n *tree.Node, path string) *tree.Node {
	out := c.pairs(n, true, path)
	for i := range out.Fields {
		if v := out.Fields[i].Value; v.Kind == tree.ScalarNode && !strings.HasPrefix(v.Text, "service:") && !c.isFetched(v.Text) {
			v.Text = c.absolute(v.Text)
		}
	}
	return out
}

// isFetched says whether a context of the file is remote. A directory of that
// name wins.
func (c *Conformer) isFetched(context string) bool {
	if !spec.IsRemoteName(context) || strings.Contains(context, "://") {
		return spec.IsRemote(context)
	}
	info, err := os.Stat(c.located(context))
	return err != nil || !info.IsDir()
}
