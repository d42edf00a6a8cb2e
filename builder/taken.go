package builder

import (
	"bytes"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"github.com/orlop/orlop/spec"
)

// taken are the paths of its context that a build takes something from, with * for any name, if its own Dockerfile says all of them for
// certain; nil if it may be anything. What its base images bring (ONBUILD) is not known here.
func taken(dockerfile []byte, s *spec.Service, opts Options) *[]string {
	b := s.Build
	for _, args := range []map[string]*string{b.Args, pointers(opts.Args)} {
		for name := range args {
			if strings.HasPrefix(name, "BUILDKIT_") { // of the frontend: it may look at all of the context
				return nil
			}
		}
	}
	for _, from := range b.AdditionalContexts {
		if !filepath.IsAbs(from) && !strings.HasPrefix(from, "docker-image://") { // an image whose instructions nobody has looked at
			return nil
		}
	}
	asIs := opts.Over.Provenance+opts.Over.SBOM+b.Provenance+b.SBOM == "" && len(s.BuiltFor()) == 0 // what attestations are about is not said here
	file, err := parser.Parse(bytes.NewReader(dockerfile))
	if err != nil || !asIs {
		return nil
	}
	paths := []string{}
	for _, line := range file.AST.Children {
		own, ok := takenBy(line)
		if !ok {
			return nil
		}
		paths = append(paths, own...)
	}
	slices.Sort(paths)
	paths = slices.Compact(paths)
	return &paths
}

func pointers(args map[string]string) map[string]*string {
	out := map[string]*string{}
	for name := range args {
		out[name] = nil
	}
	return out
}

// takenBy are the paths that an instruction takes something from.
func takenBy(line *parser.Node) (paths []string, ok bool) {
	switch strings.ToLower(line.Value) {
	case "onbuild": // for another stage
		if line.Next == nil || len(line.Next.Children) == 0 {
			return nil, false
		}
		return takenBy(line.Next.Children[0])
	case "from":
		return nil, len(line.Flags) == 0 // --platform: of another base
	case "run":
		return mountedPaths(line.Flags)
	case "copy", "add":
		return copiedPaths(line)
	case "arg":
		return nil, !strings.Contains(line.Original, "BUILDKIT_")
	case "cmd", "entrypoint", "env", "expose", "healthcheck", "label", "maintainer", "shell", "stopsignal", "user", "volume", "workdir":
		return nil, true
	}
	return nil, false
}

func copiedPaths(line *parser.Node) (paths []string, ok bool) {
	for _, f := range line.Flags {
		if strings.HasPrefix(f, "--from=") {
			return nil, true
		}
	}
	for n := line.Next; n != nil && n.Next != nil; n = n.Next {
		if strings.HasPrefix(n.Value, "<<") || isAddress(n.Value) {
			continue
		}
		p, ok := pathOf(n.Value)
		if !ok {
			return nil, false
		}
		paths = append(paths, p)
	}
	return paths, true
}

// isAddress says that ADD gets a source from the network. Of one with a variable in it nobody can tell.
func isAddress(source string) bool { return isElsewhere(source) && !strings.Contains(source, "$") }

// pathOf is a source as a path from the context. One of more than names and * is not understood here.
func pathOf(source string) (string, bool) {
	p := strings.TrimPrefix(path.Clean("/"+source), "/")
	return p, p != "" && !strings.ContainsAny(source, "$\\`'\"[]?{}!^<>") && !strings.Contains(source, "**")
}

func mountedPaths(flags []string) (paths []string, ok bool) {
	for _, f := range flags {
		mount, isMount := strings.CutPrefix(f, "--mount=")
		if !isMount {
			continue
		}
		if strings.ContainsAny(mount, "$\"") {
			return nil, false
		}
		kind, from, source := "bind", false, ""
		for field := range strings.SplitSeq(mount, ",") {
			key, value, _ := strings.Cut(field, "=")
			switch strings.ToLower(strings.TrimSpace(key)) {
			case "type":
				kind = strings.ToLower(value)
			case "from":
				from = true
			case "source", "src":
				source = value
			}
		}
		switch kind {
		case "bind":
			p, ok := pathOf(source)
			if !from && !ok {
				return nil, false
			}
			if !from {
				paths = append(paths, p)
			}
		case "cache", "secret", "ssh", "tmpfs":
		default:
			return nil, false
		}
	}
	return paths, true
}
