package registries

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"gopkg.in/yaml.v3"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/userfile"
	"github.com/orlop/orlop/spec/variables"
)

// Kinds of the files of a published stack.
const (
	stackFile    = "file"
	extendedFile = "extends" // one that an extends names
	envFile      = "envfile"
)

// published is a file of a published stack.
type published struct {
	kind, name string
	content    []byte
}

// artifact is a stack as it is published: its stack files, and what they name. Variables stay as they are
// written; the names of files that go along are made of a hash of their paths, which stay at home.
type artifact struct {
	dir    string // of the project
	lookup func(name string) (string, bool)

	files    []published
	findings findings
	extended map[string]string // path -> the name that it is published under
	envs     map[string]string // likewise
	queue    []string          // paths of extended files that are yet to be read
}

// gather reads the files that a stack is published with.
func gather(p *spec.Project, lookup func(name string) (string, bool)) (*artifact, error) {
	a := &artifact{dir: p.WorkingDir, lookup: lookup, extended: map[string]string{}, envs: map[string]string{}}
	for _, path := range p.Files {
		if slices.ContainsFunc(p.Remotes, func(r *spec.Remote) bool { return r.NameOf(path) != "" }) {
			return nil, fmt.Errorf("%s is of a remote stack, which is published already: name files of your own with -f", filepath.Base(path))
		}
		if err := a.add(path, stackFile, filepath.Base(path), p.WorkingDir); err != nil {
			return nil, err
		}
	}
	for len(a.queue) > 0 {
		path := a.queue[0]
		a.queue = a.queue[1:]
		if err := a.add(path, extendedFile, a.extended[path], filepath.Dir(path)); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// add reads a stack file, whose relative paths begin at dir.
func (a *artifact) add(path, kind, name, dir string) error {
	text, err := userfile.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot publish %s: it is no file that can be read again: write it to one", path)
	}
	if err != nil {
		return fmt.Errorf("cannot publish %s: %w", path, errors.Unwrap(err))
	}
	a.findings.scan(filepath.Base(path), text) // as it is read: that has the lines that its author knows
	f := &rewriting{artifact: a, path: path, dir: dir, done: map[*yaml.Node]bool{}}
	if text, err = f.rewrite(text); err != nil {
		return err
	}
	a.files = append(a.files, published{kind, name, text})
	return nil
}

// rewriting is a stack file on its way.
type rewriting struct {
	*artifact
	path, dir string
	changed   bool
	done      map[*yaml.Node]bool // anchors are met more than once
}

// rewrite gives the files that a stack file names the names that they are published under. What has
// none stays as it is written.
func (f *rewriting) rewrite(text []byte) ([]byte, error) {
	var docs []*yaml.Node
	for dec := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read %s: %w", f.path, err)
		}
		docs = append(docs, &doc)
		if len(doc.Content) > 0 {
			if err := f.document(resolved(doc.Content[0])); err != nil {
				return nil, err
			}
		}
	}
	if !f.changed {
		return text, nil
	}
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	for _, doc := range docs {
		if err := enc.Encode(doc); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), enc.Close()
}

func (f *rewriting) document(root *yaml.Node) error {
	if err := f.refuseIncludes(root); err != nil {
		return err
	}
	for _, kind := range []string{"services", "jobs"} {
		for name, one := range entries(root, kind) {
			if err := f.container(kind+"."+name, one); err != nil {
				return err
			}
		}
	}
	for name, config := range entries(root, "configs") {
		if text := find(config, "content"); text != nil && isLiteral(text.Value) {
			f.findings.add(f.path, text.Line, "configs."+name+".content is written into the file")
		}
	}
	f.secrets("", root)
	return nil
}

// refuseIncludes: a local include is a stack of its own, with a directory and variables of its own.
func (f *rewriting) refuseIncludes(root *yaml.Node) error {
	for _, one := range items(valueOf(root, "include")) {
		paths := items(one)
		if one.Kind == yaml.MappingNode {
			paths = items(find(one, "path"))
		}
		for _, p := range paths {
			if path, isLocal, err := f.local(p); err != nil {
				return err
			} else if isLocal {
				return fmt.Errorf("cannot publish %s:%d: it includes the local file %s: publish that by itself and include it as oci://, or name both with -f", filepath.Base(f.path), p.Line, path)
			}
		}
	}
	return nil
}

// local is the file that a scalar names, if there is one: what the stack was loaded with and is
// not there is elsewhere, or may be missing.
func (f *rewriting) local(n *yaml.Node) (path string, isLocal bool, err error) {
	expander := variables.Expander{Lookup: f.lookup}
	text, _, bad := expander.Expand(n.Value)
	if bad != nil {
		return "", false, fmt.Errorf("%s:%d: %s: %s", filepath.Base(f.path), n.Line, n.Value, bad.Message)
	}
	if text == "" {
		return "", false, nil
	}
	if path = text; !filepath.IsAbs(path) {
		path = filepath.Join(f.dir, path)
	}
	_, err = os.Stat(path)
	switch {
	case err == nil:
		return path, true, nil
	case errors.Is(err, fs.ErrNotExist):
		return path, false, nil
	}
	return path, false, fmt.Errorf("cannot look for %s: %w", path, err)
}

// container goes through a service, a job, or a container that runs before one. Mappings that several
// merge are gone through once.
func (f *rewriting) container(at string, n *yaml.Node) error {
	for _, part := range merged(n) {
		if f.isDone(part) {
			continue
		}
		for _, env := range items(valueOf(part, "env_file")) {
			if err := f.env(at, env); err != nil {
				return err
			}
		}
		if extends := valueOf(part, "extends"); extends != nil {
			if err := f.extends(find(extends, "file")); err != nil {
				return err
			}
		}
		f.environment(at, part)
		for _, hook := range []string{"post_start", "pre_stop"} {
			for _, one := range items(valueOf(part, hook)) {
				for _, own := range merged(one) {
					f.environment(at+"."+hook, own)
				}
			}
		}
		for _, first := range items(valueOf(part, "pre_start")) {
			if err := f.container(at+".pre_start", first); err != nil {
				return err
			}
		}
	}
	return nil
}

// isDone says that a node was met before, and notes it.
func (f *rewriting) isDone(n *yaml.Node) bool {
	was := f.done[n]
	f.done[n] = true
	return was
}

// env names an env_file anew. One that may be missing, and is, gets a name as well: its path is nobody's business.
func (f *rewriting) env(at string, n *yaml.Node) error {
	if n.Kind == yaml.MappingNode {
		n = find(n, "path")
	}
	if n == nil || n.Kind != yaml.ScalarNode || f.isDone(n) { // an alias has the name that its anchor was given
		return nil
	}
	path, isThere, err := f.local(n)
	if err != nil {
		return err
	}
	f.findings.addEnv(f.path, n.Line, at+".env_file is "+n.Value)
	name := hashed(path, ".env")
	if isThere {
		f.envs[path] = name
	}
	f.set(n, name)
	return nil
}

func (f *rewriting) extends(n *yaml.Node) error {
	if n == nil || f.isDone(n) {
		return nil
	}
	path, isLocal, err := f.local(n)
	if err != nil || !isLocal {
		return err
	}
	if _, known := f.extended[path]; !known {
		f.extended[path] = hashed(path, ".yaml")
		f.queue = append(f.queue, path)
	}
	f.set(n, f.extended[path])
	return nil
}

func (f *rewriting) set(n *yaml.Node, value string) {
	n.SetString(value)
	f.changed = true
}

// hashed is the name that a file is published under.
func hashed(path, suffix string) string {
	return fmt.Sprintf("%x%s", sha256.Sum256([]byte(path)), suffix)
}

// withEnvironment adds the environment files that services name.
func (a *artifact) withEnvironment() error {
	for path, name := range sorted(a.envs) {
		text, err := userfile.Read(path)
		if err != nil {
			return fmt.Errorf("cannot publish %s: %w", path, errors.Unwrap(err))
		}
		a.findings.scan(filepath.Base(path), text)
		a.files = append(a.files, published{envFile, name, text})
	}
	return nil
}

// What a node is, aliases followed.

func resolved(n *yaml.Node) *yaml.Node {
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// valueOf is the value of a key of a mapping; nil if there is none.
func valueOf(n *yaml.Node, key string) *yaml.Node {
	for name, value := range pairs(n) {
		if name == key {
			return value
		}
	}
	return nil
}

// find is the value of a key of a mapping, or of one that is merged into it; nil if there is none.
func find(n *yaml.Node, key string) *yaml.Node {
	for _, part := range merged(n) {
		if value := valueOf(part, key); value != nil {
			return value
		}
	}
	return nil
}

// entries are the keys of the mappings that a key of a mapping has, with their values, what is merged included.
func entries(n *yaml.Node, key string) func(yield func(string, *yaml.Node) bool) {
	return func(yield func(string, *yaml.Node) bool) {
		for _, top := range merged(n) {
			for _, part := range merged(valueOf(top, key)) {
				for name, value := range pairs(part) {
					if name != mergeKey && !yield(name, value) {
						return
					}
				}
			}
		}
	}
}

// mergeKey is that of mappings that are merged into the one that has it.
const mergeKey = "<<"

// pairs are the keys of a mapping with their values.
func pairs(n *yaml.Node) func(yield func(string, *yaml.Node) bool) {
	return func(yield func(string, *yaml.Node) bool) {
		if n = resolved(n); n == nil || n.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i].Value, resolved(n.Content[i+1])) {
				return
			}
		}
	}
}

// items are the elements of a list, or the one that stands in its place.
func items(n *yaml.Node) (all []*yaml.Node) {
	switch n = resolved(n); {
	case n == nil:
		return nil
	case n.Kind != yaml.SequenceNode:
		return []*yaml.Node{n}
	}
	for _, one := range n.Content {
		all = append(all, resolved(one))
	}
	return all
}

// mostMerged bounds how many mappings are merged into one.
const mostMerged = 1000

// merged are a mapping and those that are merged into it ("<<").
func merged(n *yaml.Node) (all []*yaml.Node) {
	queue := []*yaml.Node{resolved(n)}
	for len(queue) > 0 && len(all) < mostMerged {
		one := queue[0]
		queue = queue[1:]
		if one == nil || one.Kind != yaml.MappingNode {
			continue
		}
		all = append(all, one)
		queue = append(queue, items(valueOf(one, mergeKey))...)
	}
	return all
}
