package stackfile

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/schema"
)

// mount brings one entry of a service's volumes into long form.
func (c *conformer) mount(item *node, keys []schema.Key, at string) *node {
	if item.kind == mapNode {
		return c.longMount(item, keys, at)
	}
	if item.kind != scalarNode {
		return c.expected(item, at, "a volume such as \"data:/var/lib\" or a mapping")
	}
	if len(item.unset) > 0 && !c.l.opts.AllowUnset && unsetInSource(item) {
		made := item.bad() // what remains of it means nothing; the unset variable is reported
		return made
	}
	parts := strings.Split(item.text, ":")
	if len(parts) > 3 || slices.Contains(parts, "") {
		return c.fail(item, at, fmt.Sprintf("bad volume %q", spec.Shorten(item.text)), "write it as [SOURCE:]TARGET[:OPTIONS]")
	}
	made := item.mapping()
	made.merge = mergeNormally
	set := func(key string, value *node) { made.set(item.with(key, value)) }
	target, source := parts[0], ""
	if len(parts) > 1 {
		source, target = parts[0], parts[1]
	}
	bind := isPath(source)
	var options *node
	if bind {
		options = item.mapping(item.with("create_host_path", item.scalar("!!bool", "true")))
		set("type", item.scalar("!!str", spec.MountBind))
		set("source", item.scalar("!!str", c.absolute(source)))
	} else {
		options = item.mapping()
		set("type", item.scalar("!!str", spec.MountVolume))
		if source != "" {
			set("source", item.scalar("!!str", source))
		}
	}
	if target = c.target(item, target, at); target == "" {
		return item.bad()
	}
	set("target", item.scalar("!!str", target))
	set(made.value("type").text, options)
	if len(parts) == 3 && !c.mountOptions(item, made, options, parts[2], at) {
		return item.bad()
	}
	c.placeUnset(item, made)
	return made
}

// placeUnset moves the unset variables of a short form to its source or target.
func (c *conformer) placeUnset(item, made *node) {
	cut := sourceEnd(item.raw)
	for _, u := range item.unset {
		part := made.value("target")
		if source := made.value("source"); u.offset < cut && source != nil {
			part = source
		}
		part.unset = append(part.unset, u)
	}
}

// sourceEnd is where the source of a short form ends, variables not yet filled in.
func sourceEnd(raw string) int {
	depth := 0
	for i := range len(raw) {
		switch raw[i] {
		case '{':
			depth++
		case '}':
			depth--
		case ':':
			if depth <= 0 {
				return i
			}
		}
	}
	return 0
}

func unsetInSource(item *node) bool {
	cut := sourceEnd(item.raw)
	return slices.ContainsFunc(item.unset, func(u unsetVariable) bool { return u.offset < cut })
}

// isPath says whether a mount's source is a path rather than a volume's name.
func isPath(source string) bool {
	return source != "" && strings.ContainsRune("./~", rune(source[0]))
}

// mountOptions applies the third part of a short form.
func (c *conformer) mountOptions(item, made, options *node, list, at string) bool {
	for _, option := range strings.Split(list, ",") {
		switch option {
		case "ro":
			made.set(item.with("read_only", item.scalar("!!bool", "true")))
		case "rw", "cached", "delegated", "consistent":
		case "nocopy":
			made.set(item.with("volume", item.mapping(item.with("nocopy", item.scalar("!!bool", "true")))))
		case "private", "rprivate", "shared", "rshared", "slave", "rslave":
			if made.value("bind") == nil {
				c.l.fail(item, at, fmt.Sprintf("option %q is for a path, not for a volume", option), "")
				return false
			}
			options.set(item.with("propagation", item.scalar("!!str", option)))
		case "z", "Z":
			c.notYet(item, at, spec.Topic{}, fmt.Sprintf("the option %q (SELinux) is not supported yet", option), "")
		default:
			c.l.fail(item, at, fmt.Sprintf("bad volume %q: unknown option %q", spec.Shorten(item.text), spec.Shorten(option)),
				"options are ro, rw, nocopy, and the propagations of a bind mount")
			return false
		}
	}
	return true
}

// target checks a mount's target and cleans it; "" when it is bad.
func (c *conformer) target(n *node, target, at string) string {
	if !strings.HasPrefix(target, "/") {
		c.l.fail(n, at, fmt.Sprintf("the target %q is not an absolute path", spec.Shorten(target)), "a target is a path in the container, such as /data")
		return ""
	}
	target = path.Clean(target)
	if target == "/" {
		c.l.fail(n, at, "the target cannot be the root of the container", "")
		return ""
	}
	return target
}

func (c *conformer) longMount(n *node, keys []schema.Key, at string) *node {
	out := c.object(n, keys, at)
	if out.kind == badNode {
		return out
	}
	if out.value("type") == nil {
		return c.fail(n, at, "a volume needs a type", "write type: volume, bind or tmpfs")
	}
	if out.value("target") == nil {
		return c.fail(n, at, "a volume needs a target", "write target: and the path in the container")
	}
	if target := out.value("target"); target.kind == scalarNode {
		if cleaned := c.target(target, target.text, at+".target"); cleaned != "" {
			target.text = cleaned
		} else {
			return out.bad()
		}
	}
	kind, source := out.value("type"), out.value("source")
	if kind.kind != scalarNode {
		return out.bad()
	}
	switch {
	case kind.text == spec.MountBind && source == nil:
		return c.fail(n, at, "a bind mount needs a source", "write source: and the path on the host")
	case kind.text == spec.MountTmpfs && source != nil:
		return c.fail(source, at, "a tmpfs has no source", "")
	case kind.text == spec.MountBind && source.kind == scalarNode:
		if len(source.unset) == 0 || c.l.opts.AllowUnset {
			made := source.scalar("!!str", c.absolute(source.text))
			made.unset = source.unset
			out.set(field{"source", out.field("source").at, out.field("source").width, made})
		}
	}
	for _, other := range []string{spec.MountBind, spec.MountVolume, spec.MountTmpfs} {
		if f := out.field(other); f != nil && other != kind.text {
			c.l.fail(&node{at: f.at, width: f.width}, at, fmt.Sprintf("%q does not fit a mount of type %s", other, kind.text), "")
		}
	}
	if bind := out.value("bind"); bind != nil && bind.kind == mapNode && bind.value("create_host_path") == nil {
		bind.set(bind.with("create_host_path", bind.scalar("!!bool", "true")))
	}
	return out
}

// fileMount brings a service's use of a secret or config into long form.
func (c *conformer) fileMount(item *node, keys []schema.Key, at string) *node {
	if item.kind == scalarNode {
		item = item.mapping(item.with("source", item))
	}
	out := c.object(item, keys, at)
	if out.kind == mapNode && out.value("source") == nil {
		return c.fail(item, at, "source is missing", "write source: and the name of the secret or config")
	}
	return out
}
