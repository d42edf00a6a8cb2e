package builder

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/userfile"
)

// Check looks for what the builds of the services need of this machine: their
// contexts and Dockerfiles. The error is a *spec.Mistakes with all that is
// missing. What is remote is left to BuildKit.
func Check(p *spec.Project, services []string) error {
	var found spec.Diagnostics
	for _, name := range slices.Sorted(slices.Values(services)) {
		s := p.Buildable(name)
		if s == nil || s.Build == nil {
			continue
		}
		for _, f := range faults(s.Build) {
			path := "services." + name + ".build" + f.key
			found = append(found, spec.Diagnostic{
				Severity: spec.Error, Path: path, Place: p.Places.Nearest(path),
				Message: strings.ReplaceAll(f.text, p.WorkingDir+string(filepath.Separator), ""), Hint: f.hint,
			})
		}
	}
	if len(found) == 0 {
		return nil
	}
	slices.SortStableFunc(found, func(x, y spec.Diagnostic) int {
		return cmp.Or(strings.Compare(x.Place.File, y.Place.File), x.Place.Line-y.Place.Line, x.Place.Column-y.Place.Column)
	})
	return &spec.Mistakes{Diagnostics: found}
}

// fault is what keeps a build from being begun.
type fault struct {
	key  string // below build
	text string
	hint string
}

func (f *fault) Error() string { return f.text + ": " + f.hint }

func faults(b *spec.Build) []*fault {
	var found []*fault
	for _, name := range slices.Sorted(maps.Keys(b.AdditionalContexts)) {
		if from := b.AdditionalContexts[name]; filepath.IsAbs(from) {
			found = add(found, directory(".additional_contexts."+name, from))
		}
	}
	if spec.IsRemote(b.Context) {
		return found
	}
	if f := directory(".context", b.Context); f != nil {
		return append(found, f)
	}
	_, f := dockerfileText(b)
	return add(found, f)
}

func add(found []*fault, f *fault) []*fault {
	if f == nil {
		return found
	}
	return append(found, f)
}

// directory says what is wrong with a directory that is lent to a build.
func directory(key, path string) *fault {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &fault{key, "no directory " + path, "create it, or name the one that holds what the Dockerfile copies"}
	case err != nil:
		return &fault{key, fmt.Sprintf("cannot read %s: %v", path, errors.Unwrap(err)), "make it readable"}
	case !info.IsDir():
		return &fault{key, path + " is not a directory", "name the directory, and the file with dockerfile"}
	}
	return nil
}

// dockerfileText reads the Dockerfile of a build.
func dockerfileText(b *spec.Build) ([]byte, *fault) {
	text, f := rawDockerfile(b)
	if f != nil {
		return nil, f
	}
	ref, _, _, ok := parser.DetectSyntax(text)
	if name := strings.TrimPrefix(ref, "docker.io/"); ok && name != "docker/dockerfile" && !strings.HasPrefix(name, "docker/dockerfile:") {
		return nil, &fault{".dockerfile", "its Dockerfile asks for the frontend " + ref + ", which Orlop does not run",
			`take the "# syntax" line away, or use docker/dockerfile`}
	}
	return text, nil
}

func rawDockerfile(b *spec.Build) ([]byte, *fault) {
	if b.DockerfileInline != "" {
		return []byte(b.DockerfileInline), nil
	}
	path := dockerfilePath(b)
	text, err := userfile.Read(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &fault{".dockerfile", "no file " + path, otherDockerfile(path)}
	case err != nil:
		return nil, &fault{".dockerfile", fmt.Sprintf("cannot read %s: %v", path, errors.Unwrap(err)), "name a file that can be read"}
	}
	if to := linkOut(path); to != "" {
		return nil, &fault{".dockerfile", fmt.Sprintf("%s is a link to %s, outside of its directory, which is what the build gets", path, to), "name the file itself"}
	}
	return text, nil
}

// linkOut is where a link leads out of its directory, "" if it does not.
func linkOut(path string) string {
	target, err := filepath.EvalSymlinks(path)
	dir, derr := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil || derr != nil || strings.HasPrefix(target, strings.TrimSuffix(dir, "/")+"/") {
		return ""
	}
	return target
}

// otherDockerfile is the hint for a Dockerfile that is missing: one beside its
// place, if there is only one.
func otherDockerfile(path string) string {
	entries, _ := os.ReadDir(filepath.Dir(path)) // without it the hint is plain
	var near []string
	for _, e := range entries {
		name := strings.ToLower(e.Name())
		if !e.IsDir() && strings.Contains(name, "dockerfile") && !strings.HasSuffix(name, ".dockerignore") {
			near = append(near, e.Name())
		}
	}
	if len(near) == 1 {
		return fmt.Sprintf("there is %s: name it with dockerfile, or rename it", near[0])
	}
	return "write it, or name another with dockerfile"
}
