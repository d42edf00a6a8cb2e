package stackfile

import (
	"strings"

	"github.com/orlop/orlop/spec/schema"
)

// merge lays a later tree over an earlier one by the rules of the table
// (Compose Specification, "Merge and override"). Both are in canonical form.
func merge(base, over *node, k *schema.Key) *node {
	switch {
	case over == nil || over.kind == nullNode && over.merge == mergeNormally && k.Shape != schema.Command:
		return base
	case base == nil || base.kind == nullNode || base.kind == badNode || over.kind == badNode ||
		over.merge == mergeOverride || base.kind != over.kind || over.kind == scalarNode:
		return over
	}
	switch k.Shape.MergeRule() {
	case schema.MergeMap:
		return mergeMaps(base, over, k)
	case schema.MergeAppend:
		return mergeLists(base, over, func(n *node) string { return identity(n) })
	case schema.MergeUnique:
		fill(base, over, k)
		return mergeLists(base, over, func(n *node) string { return uniqueKey(n, k) })
	}
	if k.Shape == schema.Any && over.kind == mapNode { // extensions
		return mergeMaps(base, over, k)
	}
	return over
}

// mergeMaps merges key by key. What is merged stands in a new node: the
// earlier tree may serve other services too.
func mergeMaps(base, over *node, k *schema.Key) *node {
	out := *base
	out.at, out.width = over.at, over.width
	out.fields = append([]field(nil), base.fields...)
	for _, f := range over.fields {
		old := out.field(f.key)
		switch {
		case f.value.merge == mergeReset:
			out.remove(f.key)
		case old == nil:
			out.fields = append(out.fields, f)
		default:
			merged := merge(old.value, f.value, childKey(k, f.key))
			if merged != old.value {
				*old = field{f.key, f.at, f.width, merged}
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
func mergeLists(base, over *node, id func(*node) string) *node {
	out := *over
	out.items = unique(append(append([]*node(nil), base.items...), over.items...), id)
	return &out
}

// fill prepares lists of objects for merging: an entry of over takes the keys
// that it lacks from the entry of base with the same identity.
func fill(base, over *node, k *schema.Key) {
	if k.Shape != schema.ObjectList {
		return
	}
	for i, item := range over.items {
		for _, old := range base.items {
			if item.kind == mapNode && old.kind == mapNode && uniqueKey(old, k) == uniqueKey(item, k) {
				over.items[i] = mergeMaps(old, item, &schema.Key{Shape: schema.Object, Keys: k.Keys})
			}
		}
	}
}

// unique keeps one entry of each identity: the last, at the place of the first.
func unique(items []*node, id func(*node) string) []*node {
	var out []*node
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

// identity is a whole value as text.
func identity(n *node) string {
	if n.kind == scalarNode {
		return n.text
	}
	var b strings.Builder
	n.write(&b)
	return b.String()
}

func (n *node) write(b *strings.Builder) {
	b.WriteString(n.text)
	b.WriteByte(0)
	for _, f := range n.fields {
		b.WriteString(f.key)
		b.WriteByte(1)
		f.value.write(b)
	}
	for _, item := range n.items {
		item.write(b)
	}
}

// uniqueKey is what makes an entry of a list the same as another.
func uniqueKey(n *node, k *schema.Key) string {
	part := func(name, otherwise string) string {
		if v := n.value(name); v != nil {
			return v.text
		}
		return otherwise
	}
	if n.kind != mapNode {
		return identity(n)
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
	case schema.ObjectList: // ipam.config
		return part("subnet", "")
	}
	return identity(n)
}

// tidy drops what merging leaves behind (reset values of keys that no earlier
// file has) and entries of lists that say the same.
func tidy(n *node, k *schema.Key) {
	kept := n.fields[:0]
	for _, f := range n.fields {
		if f.value.merge == mergeReset {
			continue
		}
		tidy(f.value, childKey(k, f.key))
		kept = append(kept, f)
	}
	n.fields = kept
	switch k.Shape.MergeRule() {
	case schema.MergeUnique:
		n.items = unique(n.items, func(n *node) string { return uniqueKey(n, k) })
		for _, item := range n.items {
			tidy(item, &schema.Key{Shape: schema.Object, Keys: k.Keys})
		}
	case schema.MergeAppend:
		if len(n.items) > 1 {
			n.items = unique(n.items, identity)
		}
	}
}
