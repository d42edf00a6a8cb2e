package loop

import (
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/userfile"
)

// copied are the patterns of what a build takes from its context, the
// instructions included that its base images bring. Where that cannot be told,
// all of the context is: ok is false.
func copied(b *spec.Build, triggers []string) (list []string, ok bool) {
	text := []byte(b.DockerfileInline)
	if len(text) == 0 {
		var err error
		if text, err = userfile.Read(dockerfile(b)); err != nil {
			return nil, false
		}
	}
	lines, ok := instructionsOf(string(text))
	brought, also := instructionsOf(strings.Join(triggers, "\n"))
	if !ok || !also || len(lines) == 0 {
		return nil, false
	}
	for _, line := range append(lines, brought...) {
		sources, ok := sourcesOf(line)
		if !ok {
			return nil, false
		}
		for _, s := range sources {
			pattern := strings.TrimPrefix(path.Clean("/"+s), "/")
			if pattern == "" || strings.HasPrefix(pattern, "!") {
				return nil, false
			}
			list = append(append(list, pattern), linked(b.Context, pattern)...)
		}
	}
	slices.Sort(list)
	return slices.Compact(list), true
}

func instructionsOf(text string) (list []*parser.Node, ok bool) {
	if strings.TrimSpace(text) == "" {
		return nil, true
	}
	file, err := parser.Parse(strings.NewReader(text))
	if err != nil {
		return nil, false
	}
	return file.AST.Children, true
}

// sourcesOf are the paths of the context that an instruction reads.
func sourcesOf(line *parser.Node) (sources []string, ok bool) {
	switch strings.ToLower(line.Value) {
	case "onbuild": // for those who build on this, another stage of it included
		if line.Next == nil || len(line.Next.Children) == 0 {
			return nil, false
		}
		return sourcesOf(line.Next.Children[0])
	case "run":
		return mounted(line.Flags)
	case "copy", "add":
	default:
		return nil, true
	}
	if slices.ContainsFunc(line.Flags, func(f string) bool { return strings.HasPrefix(f, "--from=") }) {
		return nil, true
	}
	for n := line.Next; n != nil && n.Next != nil; n = n.Next {
		switch {
		case strings.Contains(n.Value, "$"):
			return nil, false
		case strings.HasPrefix(n.Value, "<<"), strings.Contains(n.Value, "://"), strings.HasPrefix(n.Value, "git@"):
		default:
			sources = append(sources, n.Value)
		}
	}
	return sources, true
}

// mounted are the paths of the context that a RUN mounts.
func mounted(flags []string) (sources []string, ok bool) {
	for _, f := range flags {
		mount, isMount := strings.CutPrefix(f, "--mount=")
		if !isMount {
			continue
		}
		kind, from, source := "bind", false, ""
		for field := range strings.SplitSeq(mount, ",") {
			key, value, _ := strings.Cut(field, "=")
			switch strings.ToLower(key) {
			case "type":
				kind = value
			case "from":
				from = true
			case "source", "src":
				source = value
			}
		}
		switch {
		case kind != "bind" || from:
		case source == "" || strings.Contains(mount, "$"):
			return nil, false
		default:
			sources = append(sources, source)
		}
	}
	return sources, true
}

// linked are the places in the context where symbolic links of a pattern's
// paths lead: a build follows them.
func linked(context, pattern string) (list []string) {
	found, _ := filepath.Glob(filepath.Join(context, pattern))
	root := resolve(context)
	for _, f := range found {
		rel, ok := within(root, resolve(f))
		if direct, _ := filepath.Rel(context, f); ok && rel != direct {
			list = append(list, rel)
		}
	}
	return list
}
