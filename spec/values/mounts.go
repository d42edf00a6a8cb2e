package values

import (
	"fmt"
	"path"
	"strings"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/tree"
)

// targets complains of two mounts at one place.
func (c checker) targets(s *tree.Node, path string) {
	taken := map[string]bool{}
	take := func(n *tree.Node, target, key string, i int) {
		if taken[target] {
			c.Fail(n, tree.Indexed(path+"."+key, i), fmt.Sprintf("%s is already mounted", target), "two mounts cannot share a target")
		}
		taken[target] = true
	}
	if tmpfs := s.Value("tmpfs"); tmpfs != nil {
		for i, item := range tmpfs.Items {
			target, options, _ := strings.Cut(item.Text, ":")
			at := tree.Indexed(path+".tmpfs", i)
			if item.Kind == tree.ScalarNode && item.Text != "" && !strings.HasPrefix(target, "/") {
				c.Fail(item, at, fmt.Sprintf("the target %q is not an absolute path", spec.Shorten(target)), "a target is a path in the container, such as /run")
			} else if item.Kind == tree.ScalarNode && item.Text != "" {
				take(item, target, "tmpfs", i)
				c.tmpfsOptions(item, options, at)
			}
		}
	}
	if volumes := s.Value("volumes"); volumes != nil {
		for i, item := range volumes.Items {
			if target := item.Value("target"); target != nil && target.Kind == tree.ScalarNode {
				take(target, target.Text, "volumes", i)
			}
		}
	}
}

// subpaths checks the paths inside volumes.
func (c checker) subpaths(s *tree.Node, at string) {
	volumes := s.Value("volumes")
	if volumes == nil {
		return
	}
	for i, item := range volumes.Items {
		kind := tree.TextAt(item, "type")
		sub, given := item.Value(kind).Value("subpath"), item.Value("bind").Value("recursive")
		if given != nil {
			c.recursive(item, given, tree.Indexed(at+".volumes", i))
		}
		if sub == nil || sub.Kind != tree.ScalarNode || sub.Text == "" {
			continue
		}
		where := tree.Indexed(at+".volumes", i) + "." + kind + ".subpath"
		clean := path.Clean(sub.Text)
		switch {
		case path.IsAbs(clean), clean == "..", strings.HasPrefix(clean, "../"):
			c.Fail(sub, where, fmt.Sprintf("the path %q is not inside the %s", spec.Shorten(sub.Text), kind), "write a path that begins in the "+kind+", such as app/data")
		case item.Value("source") == nil:
			c.Fail(sub, where, "a volume without a name is empty", "name the volume: source: data")
		}
	}
}

// volumesFrom checks the form of the entries of volumes_from.
func (c checker) volumesFrom(s *tree.Node, at string) {
	list := s.Value("volumes_from")
	if list == nil {
		return
	}
	for i, item := range list.Items {
		if _, ok := spec.ParseVolumesFrom(item.Text); !ok && item.Kind == tree.ScalarNode {
			c.Fail(item, tree.Indexed(at+".volumes_from", i), fmt.Sprintf("%q does not say whose volumes", spec.Shorten(item.Text)),
				"write SERVICE[:ro] or container:NAME[:ro]")
		}
	}
}

// recursive checks what is to become of the mounts below that of a directory.
func (c checker) recursive(item, given *tree.Node, at string) {
	if given.Text != spec.RecursiveReadOnly {
		return
	}
	propagation := tree.TextAt(item.Value("bind"), "propagation")
	switch {
	case tree.TextAt(item, "read_only") != "true":
		c.Fail(given, at+".bind.recursive", "recursive: readonly is for a mount that is read-only itself", "write read_only: true beside bind")
	case propagation != "" && propagation != "rprivate":
		c.Fail(given, at+".bind.recursive", "recursive: readonly and propagation: "+propagation+" exclude each other", "leave propagation out")
	}
}
