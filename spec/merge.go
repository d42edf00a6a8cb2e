package spec

import "strings"

// merge lays a later tree over an earlier one by the rules of the table
// (Compose Specification, "Merge and override"). Both are in canonical form.
func merge(base, over *node, k *key) *node {
	switch {
	case over == nil || over.kind == nullNode && over.merge == mergeNormally && k.shape != commandLine:
		return base
	case base == nil || base.kind == nullNode || base.kind == badNode || over.kind == badNode ||
		over.merge == mergeOverride || base.kind != over.kind || over.kind == scalarNode:
		return over
	}
	switch k.shape.mergeRule() {
	case mergeMap:
		return mergeMaps(base, over, k)
	case mergeAppend:
		return mergeLists(base, over, func(n *node) string { return identity(n) })
	case mergeUnique:
		fill(base, over, k)
		return mergeLists(base, over, func(n *node) string { return uniqueKey(n, k) })
	}
	if k.shape == anyValue && over.kind == mapNode { // extensions
		return mergeMaps(base, over, k)
	}
	return over
}

// mergeMaps merges key by key. What is merged stands in a new node: the
// earlier tree may serve other services too.
func mergeMaps(base, over *node, k *key) *node {
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
func childKey(k *key, name string) *key {
	switch k.shape {
	case named, networkSet, dependSet:
		return &key{name: name, shape: object, keys: k.keys}
	case pairs, labels, contextSet:
		return &key{name: name, shape: text}
	case limitSet:
		return &key{name: name, shape: object, keys: k.keys}
	}
	if child := find(k.keys, name); child != nil {
		return child
	}
	return &key{name: name}
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
func fill(base, over *node, k *key) {
	if k.shape != objects {
		return
	}
	for i, item := range over.items {
		for _, old := range base.items {
			if item.kind == mapNode && old.kind == mapNode && uniqueKey(old, k) == uniqueKey(item, k) {
				over.items[i] = mergeMaps(old, item, &key{shape: object, keys: k.keys})
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
func uniqueKey(n *node, k *key) string {
	part := func(name, otherwise string) string {
		if v := n.value(name); v != nil {
			return v.text
		}
		return otherwise
	}
	if n.kind != mapNode {
		return identity(n)
	}
	switch k.shape {
	case portList:
		return part("host_ip", "0.0.0.0") + "|" + part("published", "") + "|" + part("target", "") + "/" + part("protocol", "")
	case mountList:
		return part("target", "")
	case fileMounts:
		target := part("target", part("source", ""))
		if !strings.HasPrefix(target, "/") {
			target = map[bool]string{true: "/", false: "/run/secrets/"}[k.name == "configs"] + target
		}
		return target
	case objects: // ipam.config
		return part("subnet", "")
	}
	return identity(n)
}

// tidy drops what merging leaves behind (reset values of keys that no earlier
// file has) and entries of lists that say the same.
func tidy(n *node, k *key) {
	kept := n.fields[:0]
	for _, f := range n.fields {
		if f.value.merge == mergeReset {
			continue
		}
		tidy(f.value, childKey(k, f.key))
		kept = append(kept, f)
	}
	n.fields = kept
	switch k.shape.mergeRule() {
	case mergeUnique:
		n.items = unique(n.items, func(n *node) string { return uniqueKey(n, k) })
		for _, item := range n.items {
			tidy(item, &key{shape: object, keys: k.keys})
		}
	case mergeAppend:
		if len(n.items) > 1 {
			n.items = unique(n.items, identity)
		}
	}
}
