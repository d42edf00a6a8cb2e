package privilege

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/orlop/orlop/spec"
)

// maxLinks is how many links are followed in a path; the kernel follows no more.
const maxLinks = 40

// Real is where the links lead in the paths that a project names, and in its
// directory, by the path, for the engine's policy: who reads them sees more of them than
// the engine may, as in a directory that is mounted for its user alone.
func Real(p *spec.Project, dir string) map[string]string {
	seen := map[string]string{}
	_ = of(p, dir, nil, func(path string) string {
		seen[path] = resolve(path)
		return seen[path]
	})
	for path, real := range seen {
		if path == real || !filepath.IsAbs(path) {
			delete(seen, path)
		}
	}
	return seen
}

// follow is how the links of a project are followed: as it says, else here.
func follow(p *spec.Project) func(path string) string {
	return func(path string) string {
		if real, ok := p.Real[path]; ok {
			return real
		}
		return resolve(path)
	}
}

// resolve follows the links in a path, as far as it is there, as the kernel does: what
// ".." stands for depends on where a link before it leads.
func resolve(path string) string {
	if !filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	done, rest := "/", strings.Split(path, "/")
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			done = filepath.Dir(done)
			continue
		}
		next := filepath.Join(done, name)
		to, err := os.Readlink(next)
		if err != nil || links == maxLinks {
			done = next
			continue
		}
		links++
		if filepath.IsAbs(to) {
			done = "/"
		}
		rest = append(strings.Split(to, "/"), rest...)
	}
	return done
}

// isBelow says that a path is a directory or below it, as it is written.
func isBelow(path, dir string) bool {
	path, dir = filepath.Clean(path), filepath.Clean(dir)
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// bounds are the directory of a project, and those of the remote stacks that it is made
// of, and how links are followed.
type bounds struct {
	dir  string
	real func(path string) string
	of   *spec.Project
}

// has says that a path which is named at a place of the project is where it may be: in
// the project's directory or in anything that was fetched, if that is the user's own word;
// for a remote stack, in what it was fetched to itself.
func (b bounds) has(at, path string) bool {
	by := remoteOf(b.of, at)
	for _, r := range b.of.Remotes {
		if by != nil && by.Dir != r.Dir {
			continue
		}
		if isBelow(path, r.Dir) && b.inDir(r.Dir, path) { // by another name it may be written to
			return true
		}
	}
	return by == nil && b.inDir(b.dir, path)
}

// beyond tells where a path is that a place of the project may not name.
func (b bounds) beyond(at, path string) string {
	if remoteOf(b.of, at) != nil && b.inDir(b.dir, path) {
		return "the project's directory, which is yours and not the remote stack's"
	}
	return "the host outside of the project's directory"
}

// remoteOf is the remote stack that says a value, or a part of it; nil: the user does.
func remoteOf(p *spec.Project, at string) *spec.Remote {
	if len(p.Remotes) == 0 {
		return nil
	}
	if r := p.RemoteAt(p.Places.Nearest(at)); r != nil {
		return r
	}
	for path, place := range p.Places.All() {
		if rest, ok := strings.CutPrefix(path, at); ok && (strings.HasPrefix(rest, ".") || strings.HasPrefix(rest, "[")) {
			if r := p.RemoteAt(place); r != nil {
				return r
			}
		}
	}
	return nil
}

// inDir says that a path is a directory or below it, both as it is written and where its
// links lead.
func (b bounds) inDir(dir, path string) bool {
	real := b.real(dir)
	return (isBelow(path, dir) || isBelow(path, real)) && isBelow(b.real(path), real)
}
