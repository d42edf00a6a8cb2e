package forms

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/orlop/orlop/spec/tree"
	"github.com/orlop/orlop/spec/variables"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/schema"
)

// mount brings one entry of a service's volumes into long form.
func (c *Conformer) mount(item *tree.Node, keys []schema.Key, at string) *tree.Node {
	if item.Kind == tree.MapNode {
		return c.longMount(item, keys, at)
	}
	if item.Kind != tree.ScalarNode {
		return c.expected(item, at, "a volume such as \"data:/var/lib\" or a mapping")
	}
	if len(item.Unset()) > 0 && !c.AllowUnset && unsetInSource(item) {
		made := item.Bad() // what remains of it means nothing; the unset variable is reported
		return made
	}
	parts := strings.Split(item.Text, ":")
	if len(parts) > 3 || slices.Contains(parts, "") {
		return c.fail(item, at, fmt.Sprintf("bad volume %q", spec.Shorten(item.Text)), "write it as [SOURCE:]TARGET[:OPTIONS]")
	}
	made := c.node(item, tree.MapNode)
	made.Fields = c.fields(len(parts) + 2) // type, what is said of it, and one for each part
	set := func(key string, value *tree.Node) { made.Fields = append(made.Fields, item.With(key, value)) }
	target, source := parts[0], ""
	if len(parts) > 1 {
		source, target = parts[0], parts[1]
	}
	bind := isPath(source)
	options, kind := c.node(item, tree.MapNode), spec.MountVolume
	options.Merge = item.Merge
	if bind {
		options.Fields = append(c.fields(1), item.With("create_host_path", c.text(item, "!!bool", "true")))
		kind = spec.MountBind
		set("type", c.text(item, "!!str", kind))
		absolute := c.text(item, "!!str", c.absolute(source))
		absolute.SetOrigin(source, nil)
		set("source", absolute)
	} else {
		set("type", c.text(item, "!!str", kind))
		if source != "" {
			set("source", c.text(item, "!!str", source))
		}
	}
	if target = c.target(item, target, at); target == "" {
		return item.Bad()
	}
	set("target", c.text(item, "!!str", target))
	set(kind, options)
	if len(parts) == 3 && !c.mountOptions(item, made, options, parts[2], at) {
		return item.Bad()
	}
	c.placeUnset(item, made)
	return made
}

// placeUnset moves the unset variables of a short form to its source or target.
func (c *Conformer) placeUnset(item, made *tree.Node) {
	cut := sourceEnd(item.Raw())
	for _, u := range item.Unset() {
		part := made.Value("target")
		if source := made.Value("source"); u.Offset < cut && source != nil {
			part = source
		}
		part.SetUnset(append(slices.Clone(part.Unset()), u))
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

func unsetInSource(item *tree.Node) bool {
	cut := sourceEnd(item.Raw())
	return slices.ContainsFunc(item.Unset(), func(u variables.UnsetVariable) bool { return u.Offset < cut })
}

// isPath says whether a mount's source is a path rather than a volume's name.
func isPath(source string) bool {
	return source != "" && strings.ContainsRune("./~", rune(source[0]))
}

// mountOptions applies the third part of a short form.
func (c *Conformer) mountOptions(item, made, options *tree.Node, list, at string) bool {
	for _, option := range strings.Split(list, ",") {
		switch option {
		case "ro":
			made.Set(item.With("read_only", item.Scalar("!!bool", "true")))
		case "rw", "cached", "delegated", "consistent":
		case "nocopy":
			made.Set(item.With("volume", item.Mapping(item.With("nocopy", item.Scalar("!!bool", "true")))))
		case "private", "rprivate", "shared", "rshared", "slave", "rslave":
			if made.Value("bind") == nil {
				c.Reporter.Fail(item, at, fmt.Sprintf("option %q is for a path, not for a volume", option), "")
				return false
			}
			options.Set(item.With("propagation", item.Scalar("!!str", option)))
		case "z", "Z":
			c.Reporter.NoEffect(item, at, spec.Topic{Subject: at, Text: "no effect: " + schema.NoSELinux}, fmt.Sprintf("%q has no effect: %s", option, schema.NoSELinux))
		default:
			c.Reporter.Fail(item, at, fmt.Sprintf("bad volume %q: unknown option %q", spec.Shorten(item.Text), spec.Shorten(option)),
				"options are ro, rw, nocopy, and the propagations of a bind mount")
			return false
		}
	}
	return true
}

// target checks a mount's target and cleans it; "" when it is bad.
func (c *Conformer) target(n *tree.Node, target, at string) string {
	if !strings.HasPrefix(target, "/") {
		c.Reporter.Fail(n, at, fmt.Sprintf("the target %q is not an absolute path", spec.Shorten(target)), "a target is a path in the container, such as /data")
		return ""
	}
	target = path.Clean(target)
	if target == "/" {
		c.Reporter.Fail(n, at, "the target cannot be the root of the container", "")
		return ""
	}
	return target
}

func (c *Conformer) longMount(n *tree.Node, keys []schema.Key, at string) *tree.Node {
	out := c.Object(n, keys, at)
	if out.Kind == tree.BadNode {
		return out
	}
	if out.Value("type") == nil {
		return c.fail(n, at, "a volume needs a type", "write type: volume, bind, tmpfs or image")
	}
	if out.Value("target") == nil {
		return c.fail(n, at, "a volume needs a target", "write target: and the path in the container")
	}
	if target := out.Value("target"); target.Kind == tree.ScalarNode {
		if cleaned := c.target(target, target.Text, at+".target"); cleaned != "" {
			target.Text = cleaned
		} else {
			return out.Bad()
		}
	}
	kind, source := out.Value("type"), out.Value("source")
	if kind.Kind != tree.ScalarNode {
		return out.Bad()
	}
	switch {
	case kind.Text == spec.MountBind && source == nil:
		return c.fail(n, at, "a bind mount needs a source", "write source: and the path on the host")
	case kind.Text == spec.MountImage && source == nil:
		return c.fail(n, at, "a mount of an image needs a source", "write source: and the image")
	case kind.Text == spec.MountTmpfs && source != nil:
		return c.fail(source, at, "a tmpfs has no source", "")
	case kind.Text == spec.MountBind && source.Kind == tree.ScalarNode:
		if len(source.Unset()) == 0 || c.AllowUnset {
			made := source.Scalar("!!str", c.absolute(source.Text))
			made.SetOrigin(source.Text, source.Unset())
			out.Set(tree.Field{Key: "source", At: out.Field("source").At, Width: out.Field("source").Width, Value: made})
		}
	}
	for _, other := range []string{spec.MountBind, spec.MountVolume, spec.MountTmpfs, spec.MountImage} {
		if f := out.Field(other); f != nil && other != kind.Text {
			c.Reporter.Fail(&tree.Node{At: f.At, Width: f.Width}, at, fmt.Sprintf("%q does not fit a mount of type %s", other, kind.Text), "")
		}
	}
	if bind := out.Value("bind"); bind != nil && bind.Kind == tree.MapNode && bind.Value("create_host_path") == nil {
		bind.Set(bind.With("create_host_path", bind.Scalar("!!bool", "true")))
	}
	return out
}

// fileMount brings a service's use of a secret or config into long form.
func (c *Conformer) fileMount(item *tree.Node, keys []schema.Key, at string) *tree.Node {
	if item.Kind == tree.ScalarNode {
		item = item.Mapping(item.With("source", item))
	}
	out := c.Object(item, keys, at)
	if out.Kind == tree.MapNode && out.Value("source") == nil {
		return c.fail(item, at, "source is missing", "write source: and the name of the secret or config")
	}
	return out
}

// bindDevice makes the path absolute of a directory of the host that is a volume.
func (c *Conformer) bindDevice(resource *tree.Node) {
	if resource.Kind != tree.MapNode {
		return
	}
	opts := resource.Value("driver_opts")
	device := opts.Value(spec.OptDevice)
	if device == nil || device.Kind != tree.ScalarNode || device.Text == "" || tree.TextAt(opts, spec.OptMount) != "bind" {
		return
	}
	made := device.Scalar("!!str", c.absolute(device.Text))
	made.SetOrigin(device.Text, device.Unset())
	made.Merge = device.Merge
	opts.Field(spec.OptDevice).Value = made
}
