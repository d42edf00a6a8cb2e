package stackfile

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/schema"
)

// maxIncludes is how deep files may include files.
const maxIncludes = 64

// extendAll resolves the extends key of every service of a tree.
func (l *loader) extendAll(tree *node, src *source, vars *variables) {
	services := tree.value("services")
	if services == nil || services.kind != mapNode {
		return
	}
	for _, f := range slices.Clone(services.fields) {
		if f.value.value("extends") != nil {
			l.extend(services, src, f.key, vars, nil)
		}
	}
}

// extend resolves the extends key of one service of services, and of those it
// extends; nil if that cannot be. Chain is how it was reached, as "file: service".
func (l *loader) extend(services *node, src *source, name string, vars *variables, chain []string) *node {
	f := services.field(name)
	service := f.value
	ext := service.value("extends")
	if ext == nil || service.kind != mapNode {
		return service
	}
	path := "services." + name + ".extends"
	here := src.name + ": " + name
	if slices.Contains(chain, here) {
		l.fail(ext, path, "services extend each other in a circle: "+strings.Join(append(chain, here), " -> "), "")
		return nil
	}
	base := l.extendBase(services, src, ext, path, vars, append(slices.Clone(chain), here))
	service.remove("extends")
	if base == nil {
		services.set(field{name, f.at, f.width, service.bad()})
		return nil
	}
	merged := merge(base.clone(), service, &schema.Key{Shape: schema.Object, Keys: serviceRow().Keys})
	services.set(field{name, f.at, f.width, merged})
	return merged
}

func serviceRow() *schema.Key { return schema.Find(schema.Root(), "services") }

// extendBase is the service that ext names, resolved; nil if there is none.
func (l *loader) extendBase(services *node, src *source, ext *node, path string, vars *variables, chain []string) *node {
	ref := ext.value("service")
	if ext.kind != mapNode || ref == nil || ref.kind != scalarNode {
		if ext.kind == mapNode && ref == nil {
			l.fail(ext, path, "service is missing", "write service: and the service to extend")
		}
		return nil
	}
	if file := ext.value("file"); file != nil {
		if file.kind != scalarNode {
			return nil
		}
		tree, other := l.extendFile(src, file, path, vars)
		if tree == nil {
			return nil
		}
		services, src = tree.value("services"), other
	}
	if services == nil || services.field(ref.text) == nil {
		var have []string
		if services != nil {
			have = fieldNames(services)
		}
		l.fail(ref, path, fmt.Sprintf("no service named %q in %s", ref.text, src.name), spec.DidYouMean(ref.text, have))
		return nil
	}
	base := l.extend(services, src, ref.text, vars, chain)
	if base == nil || base.kind != mapNode {
		return nil
	}
	return base
}

func fieldNames(n *node) []string {
	var out []string
	for _, f := range n.fields {
		out = append(out, f.key)
	}
	return out
}

// extendFile reads a file that a service extends from, once.
func (l *loader) extendFile(src *source, file *node, path string, vars *variables) (*node, *source) {
	at := file.text
	if !filepath.IsAbs(at) {
		at = filepath.Join(src.base, at)
	}
	if strings.Contains(file.text, "://") {
		l.fail(file, path, "only local files can be extended", "")
		return nil, nil
	}
	name := l.display(at)
	if tree, ok := l.extended[at]; ok {
		return tree, l.sources[name]
	}
	if l.extended == nil {
		l.extended = map[string]*node{}
	}
	l.extended[at] = nil
	docs, err := l.read(at, filepath.Dir(at))
	if err != nil {
		l.fail(file, path, err.Error(), "")
		return nil, nil
	}
	tree := &node{kind: mapNode}
	for _, doc := range docs {
		tree = merge(tree, l.conform(doc, vars), root())
	}
	if tree.kind != mapNode {
		return nil, nil
	}
	l.extended[at] = tree
	return tree, l.sources[name]
}

// include adds what the files of the include key declare. What the including
// file says of the same name wins.
func (l *loader) include(tree *node, src *source, outer *variables, including []string) {
	list := tree.value("include")
	tree.remove("include")
	if list == nil || list.kind != listNode {
		return
	}
	for i, item := range list.items {
		if item.kind == mapNode {
			l.includeOne(tree, src, item, outer, append(slices.Clone(including), src.path), indexed("include", i))
		}
	}
}

func (l *loader) includeOne(tree *node, src *source, item *node, outer *variables, including []string, path string) {
	mistakes := len(l.diagnostics.Errors())
	included := l.includedOnce(src, item, outer, including, path)
	if included == nil || included.kind != mapNode {
		l.broken = l.broken || len(l.diagnostics.Errors()) > mistakes
		return
	}
	l.addIncluded(tree, included)
}

// includedOnce is the tree of what one entry of include names, read once for
// the same files, directory and variables: files that include the same below
// them would be read times and times again.
func (l *loader) includedOnce(src *source, item *node, outer *variables, including []string, path string) *node {
	key := fmt.Sprintf("%p\x00%s\x00%s", outer, src.base, identity(item))
	if tree, ok := l.includes[key]; ok {
		if tree == nil {
			return nil
		}
		return tree.clone()
	}
	tree := l.included(src, item, outer, including, path)
	if l.includes == nil {
		l.includes = map[string]*node{}
	}
	l.includes[key] = nil
	if tree != nil {
		l.includes[key] = tree.clone()
	}
	return tree
}

// included is the tree of what one entry of include names; nil if it cannot
// be read.
func (l *loader) included(src *source, item *node, outer *variables, including []string, path string) *node {
	paths := item.value("path")
	if paths == nil || paths.kind != listNode || len(paths.items) == 0 {
		if paths == nil {
			l.fail(item, path, "path is missing", "write path: and the file to include")
		}
		return nil
	}
	dir := ""
	if d := item.value("project_directory"); d != nil && d.kind == scalarNode {
		dir = within(src.base, d.text)
	}
	var included *node
	var vars *variables
	for _, p := range paths.items {
		if p.kind != scalarNode {
			return nil
		}
		at, ok := l.includePath(src, p, including, path)
		if !ok {
			return nil
		}
		dir = cmp.Or(dir, filepath.Dir(at))
		if vars == nil {
			if vars = l.includeVariables(src, item, outer, dir, path); vars == nil {
				return nil
			}
		}
		docs, err := l.read(at, dir)
		if err != nil {
			l.fail(p, path, err.Error(), "")
			return nil
		}
		for _, doc := range docs {
			included = merge(included, l.resolve(doc, vars, including), root())
		}
	}
	buildsIn(included, dir)
	resolveNames(included, vars)
	return included
}

// resolveNames gives what an included tree takes from the environment by name alone
// the variables of the include: secrets and configs, and the environment of
// services.
func resolveNames(tree *node, vars *variables) {
	if tree == nil {
		return
	}
	for _, section := range []string{"secrets", "configs"} {
		if s := tree.value(section); s != nil {
			for _, f := range s.fields {
				if name := f.value.value("environment"); name != nil && name.vars == nil {
					name.vars = vars
				}
			}
		}
	}
	services := tree.value("services")
	if services == nil {
		return
	}
	for _, f := range services.fields {
		if environment := f.value.value("environment"); environment != nil {
			fillEnvironment(environment, vars.lookup)
		}
	}
}

// includePath is the file that one path of an include names.
func (l *loader) includePath(src *source, p *node, including []string, path string) (string, bool) {
	at := within(src.base, p.text)
	switch {
	case strings.Contains(p.text, "://"):
		l.fail(p, path, "only local files can be included", "")
		return "", false
	case slices.Contains(including, at) || len(including) > maxIncludes:
		circle := append(slices.Clone(including), at)
		l.fail(p, path, "files include each other in a circle: "+strings.Join(l.displayAll(circle), " -> "), "")
		return "", false
	}
	return at, true
}

// buildsIn gives the builds of an included tree that name no context the
// directory of the tree, not that of the including project.
func buildsIn(tree *node, dir string) {
	services := tree.value("services")
	if services == nil {
		return
	}
	for _, f := range services.fields {
		if build := f.value.value("build"); build != nil && build.kind == mapNode && build.value("context") == nil {
			build.set(build.with("context", build.scalar("!!str", dir)))
		}
	}
}

func within(base, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(base, path)
}

func (l *loader) displayAll(paths []string) []string {
	out := make([]string, len(paths))
	for i, p := range paths {
		out[i] = l.display(p)
	}
	return out
}

func (l *loader) addIncluded(tree, included *node) {
	included.remove("name")
	for _, f := range included.fields {
		if strings.HasPrefix(f.key, "x-") {
			continue
		}
		own := tree.value(f.key)
		if own == nil {
			tree.set(f)
			continue
		}
		tree.field(f.key).value = merge(f.value, own, schema.Find(schema.Root(), f.key))
	}
}

// includeVariables are the variables of an included file: those of the file
// that includes it over those of the include's environment files; nil if one
// cannot be read.
func (l *loader) includeVariables(src *source, item *node, outer *variables, dir, path string) *variables {
	var files []string
	optional := true
	if list := item.value("env_file"); list != nil {
		optional = false
		for _, f := range list.items {
			files = append(files, within(src.base, f.text))
		}
	} else {
		files = []string{filepath.Join(dir, ".env")}
	}
	files = slices.DeleteFunc(files, func(f string) bool { return f == os.DevNull })
	values, _, err := l.envFileValues(files, optional, outer.lookup)
	if err != nil {
		l.fail(item, path, err.Error(), "")
		return nil
	}
	return &variables{lookup: func(name string) (string, bool) {
		if v, ok := outer.lookup(name); ok {
			return v, true
		}
		v, ok := values[name]
		return v, ok
	}}
}
