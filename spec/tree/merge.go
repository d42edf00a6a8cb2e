package tree

import (
	"slices"
	"strings"

	"github.com/orlop/orlop/spec/schema"
)

// Merge lays a later tree over an earlier one by the rules of the table
// (Compose Specification, "Merge and override"). Both are in canonical form.
func Merge(base, over *Node, k *schema.Key) *Node {
	switch {
	case over == nil || over.Kind == NullNode && over.Merge == MergeNormally && k.Shape != schema.Command:
		return base
	case base == nil || base.Kind == NullNode || base.Kind == BadNode || over.Kind == BadNode ||
		over.Merge == MergeOverride || base.Kind != over.Kind || over.Kind == ScalarNode:
		return over
	}
	if was, is := TextAt(base, "driver"), TextAt(over, "driver"); k.Shape == schema.Logging && was != "" && is != "" && was != is {
		return over // options of another driver
	}
	switch k.Shape.MergeRule() {
	case schema.MergeMap:
		return mergeMaps(base, over, k)
	case schema.MergeAppend:
		return mergeLists(base, over, func(n *Node) string { return Identity(n) })
	case schema.MergeUnique:
		fill(base, over, k)
		return mergeLists(base, over, func(n *Node) string { return uniqueKey(n, k) })
	}
	if k.Shape == schema.Any && over.Kind == MapNode { // extensions
		return mergeMaps(base, over, k)
	}
	return over
}

// mergeMaps merges key by key. What is merged stands in a new node: the
// earlier tree may serve other services too.
func mergeMaps(base, over *Node, k *schema.Key) *Node {
	out := *base
	out.At, out.Width = over.At, over.Width
	out.Fields = append([]Field(nil), base.Fields...)
	for _, f := range over.Fields {
		old := out.Field(f.Key)
		switch {
		case f.Value.Merge == MergeReset:
			out.Remove(f.Key)
		case old == nil:
			out.Fields = append(out.Fields, f)
		default:
			merged := Merge(old.Value, f.Value, childKey(k, f.Key))
			if merged != old.Value {
				*old = Field{f.Key, f.At, f.Width, merged}
			}
		}
	}
	return &out
}

// childKey is the row for the values below a key.
func childKey(k *schema.Key, name string) *schema.Key {
	switch k.Shape {
	case schema.Named, schema.Networks, schema.DependsOn:
		return &schema.Key{Name: name, Shape: schema.Object, Keys: k.Keys}
	case schema.MappingOrList, schema.Labels, schema.Contexts:
		return &schema.Key{Name: name, Shape: schema.String}
	case schema.Ulimits:
		return &schema.Key{Name: name, Shape: schema.Object, Keys: k.Keys}
	}
	if child := schema.Find(k.Keys, name); child != nil {
		return child
	}
	return &schema.Key{Name: name}
}

// mergeLists appends the later entries; one with the identity of an earlier
// one takes its place.
func mergeLists(base, over *Node, id func(*Node) string) *Node {
	out := *over
	out.Items = unique(append(append([]*Node(nil), base.Items...), over.Items...), id)
	return &out
}

// fill prepares lists of objects for merging: an entry of over takes the keys
// that it lacks from the entry of base with the same identity.
func fill(base, over *Node, k *schema.Key) {
	if k.Shape != schema.ObjectList {
		return
	}
	for i, item := range over.Items {
		for _, old := range base.Items {
			if item.Kind == MapNode && old.Kind == MapNode && uniqueKey(old, k) == uniqueKey(item, k) {
				over.Items[i] = mergeMaps(old, item, &schema.Key{Shape: schema.Object, Keys: k.Keys})
			}
		}
	}
}

// fewItems is up to how many a list is looked through for each of its entries.
const fewItems = 8

// unique keeps one entry of each identity: the last, at the place of the first.
func unique(items []*Node, id func(*Node) string) []*Node {
	if len(items) < 2 {
		return items
	}
	var out []*Node
	at := make(map[string]int, len(items))
	for _, item := range items {
		key := id(item)
		if i, ok := at[key]; ok {
			out[i] = item
			continue
		}
		at[key] = len(out)
		out = append(out, item)
	}
	return out
}

// areUnique says that no two of a few texts are the same, as far as it looks: texts in a
// list have themselves as identities.
func areUnique(items []*Node) bool {
	if len(items) > fewItems {
		return false
	}
	for i, item := range items {
		if item.Kind != ScalarNode {
			return false
		}
		for _, other := range items[:i] {
			if other.Text == item.Text {
				return false
			}
		}
	}
	return true
}

// Identity is a whole value as text.
func Identity(n *Node) string {
	if n.Kind == ScalarNode {
		return n.Text
	}
	var b strings.Builder
	n.write(&b)
	return b.String()
}

func (n *Node) write(b *strings.Builder) {
	b.WriteString(n.Text)
	b.WriteByte(0)
	for _, f := range n.Fields {
		b.WriteString(f.Key)
		b.WriteByte(1)
		f.Value.write(b)
	}
	for _, item := range n.Items {
		item.write(b)
	}
}

// uniqueKey is what makes an entry of a list the same as another.
func uniqueKey(n *Node, k *schema.Key) string {
	part := func(name, otherwise string) string {
		if v := n.Value(name); v != nil {
			return v.Text
		}
		return otherwise
	}
	if n.Kind != MapNode {
		return Identity(n)
	}
	switch k.Shape {
	case schema.Ports:
		return part("host_ip", "0.0.0.0") + "|" + part("published", "") + "|" + part("target", "") + "/" + part("protocol", "")
	case schema.Mounts:
		return part("target", "")
	case schema.FileMounts:
		target := part("target", part("source", ""))
		if !strings.HasPrefix(target, "/") {
			target = map[bool]string{true: "/", false: "/run/secrets/"}[k.Name == "configs"] + target
		}
		return target
	case schema.DeviceNodes:
		return part("target", "")
	case schema.ObjectList: // ipam.config, and the devices of blkio_config
		return part("subnet", part("path", ""))
	}
	return Identity(n)
}

// Tidy drops what merging leaves behind (reset values of keys that no earlier
// file has) and entries of lists that say the same.
func Tidy(n *Node, k *schema.Key) {
	isReset := false
	for i := range n.Fields {
		f := &n.Fields[i]
		isReset = isReset || f.Value.Merge == MergeReset
		if len(f.Value.Fields) > 0 || len(f.Value.Items) > 0 {
			Tidy(f.Value, childKey(k, f.Key))
		}
	}
	if isReset {
		n.Fields = slices.DeleteFunc(n.Fields, func(f Field) bool { return f.Value.Merge == MergeReset })
	}
	if len(n.Items) == 0 {
		return
	}
	switch k.Shape.MergeRule() {
	case schema.MergeUnique:
		if len(n.Items) > 1 {
			n.Items = unique(n.Items, func(n *Node) string { return uniqueKey(n, k) })
		}
		row := &schema.Key{Shape: schema.Object, Keys: k.Keys}
		for _, item := range n.Items {
			Tidy(item, row)
		}
	case schema.MergeAppend:
		if !areUnique(n.Items) {
			n.Items = unique(n.Items, Identity)
		}
	}
}
