package stackfile

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/fetched"
	"github.com/orlop/orlop/spec/schema"
	"github.com/orlop/orlop/spec/tree"
	"github.com/orlop/orlop/spec/variables"
)

// maxIncludes is how deep files may include files.
const maxIncludes = 64

// extendAll resolves the extends key of every service of a tree.
func (l *loader) extendAll(root *tree.Node, src *source, vars *variables.Expander) {
	services := root.Value("services")
	if services == nil || services.Kind != tree.MapNode {
		return
	}
	for _, f := range slices.Clone(services.Fields) {
		if f.Value.Value("extends") != nil {
			l.extend(services, src, f.Key, vars, nil)
		}
	}
}

// extend resolves the extends key of one service of services, and of those it
// extends; nil if that cannot be. Chain is how it was reached, as "file: service".
func (l *loader) extend(services *tree.Node, src *source, name string, vars *variables.Expander, chain []string) *tree.Node {
	f := services.Field(name)
	service := f.Value
	ext := service.Value("extends")
	if ext == nil || service.Kind != tree.MapNode {
		return service
	}
	path := "services." + name + ".extends"
	here := src.name + ": " + name
	if slices.Contains(chain, here) {
		l.Fail(ext, path, "services extend each other in a circle: "+strings.Join(append(chain, here), " -> "), "")
		return nil
	}
	base := l.extendBase(services, src, ext, path, vars, append(slices.Clone(chain), here))
	service.Remove("extends")
	if base == nil {
		services.Set(tree.Field{Key: name, At: f.At, Width: f.Width, Value: service.Bad()})
		return nil
	}
	merged := tree.Merge(base.Clone(), service, &schema.Key{Shape: schema.Object, Keys: serviceRow().Keys})
	services.Set(tree.Field{Key: name, At: f.At, Width: f.Width, Value: merged})
	return merged
}

func serviceRow() *schema.Key { return schema.Find(schema.Root(), "services") }

// extendBase is the service that ext names, resolved; nil if there is none.
func (l *loader) extendBase(services *tree.Node, src *source, ext *tree.Node, path string, vars *variables.Expander, chain []string) *tree.Node {
	ref := ext.Value("service")
	if ext.Kind != tree.MapNode || ref == nil || ref.Kind != tree.ScalarNode {
		if ext.Kind == tree.MapNode && ref == nil {
			l.Fail(ext, path, "service is missing", "write service: and the service to extend")
		}
		return nil
	}
	if file := ext.Value("file"); file != nil {
		if file.Kind != tree.ScalarNode {
			return nil
		}
		root, other := l.extendFile(src, file, path, vars)
		if root == nil {
			return nil
		}
		services, src = root.Value("services"), other
	}
	if services == nil || services.Field(ref.Text) == nil {
		var have []string
		if services != nil {
			have = fieldNames(services)
		}
		l.Fail(ref, path, fmt.Sprintf("no service named %q in %s", ref.Text, src.name), spec.DidYouMean(ref.Text, have))
		return nil
	}
	base := l.extend(services, src, ref.Text, vars, chain)
	if base == nil || base.Kind != tree.MapNode {
		return nil
	}
	return base
}

func fieldNames(n *tree.Node) []string {
	var out []string
	for _, f := range n.Fields {
		out = append(out, f.Key)
	}
	return out
}

// extendFile reads a file that a service extends from, once.
func (l *loader) extendFile(src *source, file *tree.Node, path string, vars *variables.Expander) (*tree.Node, *source) {
	at, ok := l.fileOf(src, file, path)
	if !ok {
		return nil, nil
	}
	name := l.display(at)
	if root, ok := l.extended[at]; ok {
		return root, l.sources[name]
	}
	if l.extended == nil {
		l.extended = map[string]*tree.Node{}
	}
	l.extended[at] = nil
	docs, err := l.read(at, filepath.Dir(at))
	if err != nil {
		l.Fail(file, path, err.Error(), "")
		return nil, nil
	}
	root := &tree.Node{Kind: tree.MapNode}
	for _, doc := range docs {
		root = tree.Merge(root, l.conform(doc, vars), rootKey())
	}
	if root.Kind != tree.MapNode {
		return nil, nil
	}
	l.extended[at] = root
	return root, l.sources[name]
}

// include adds what the files of the include key declare. What the including
// file says of the same name wins.
func (l *loader) include(root *tree.Node, src *source, outer *variables.Expander, including []string) {
	list := root.Value("include")
	root.Remove("include")
	if list == nil || list.Kind != tree.ListNode {
		return
	}
	for i, item := range list.Items {
		if item.Kind == tree.MapNode {
			l.includeOne(root, src, item, outer, append(slices.Clone(including), src.path), tree.Indexed("include", i))
		}
	}
}

func (l *loader) includeOne(root *tree.Node, src *source, item *tree.Node, outer *variables.Expander, including []string, path string) {
	mistakes := len(l.diagnostics.Errors())
	included := l.includedOnce(src, item, outer, including, path)
	if included == nil || included.Kind != tree.MapNode {
		l.broken = l.broken || len(l.diagnostics.Errors()) > mistakes
		return
	}
	l.addIncluded(root, included)
}

// includedOnce is the tree of what one entry of include names, read once for
// the same files, directory and variables: files that include the same below
// them would be read times and times again.
func (l *loader) includedOnce(src *source, item *tree.Node, outer *variables.Expander, including []string, path string) *tree.Node {
	key := fmt.Sprintf("%p\x00%s\x00%s", outer, src.base, tree.Identity(item))
	if root, ok := l.includes[key]; ok {
		if root == nil {
			return nil
		}
		return root.Clone()
	}
	root := l.included(src, item, outer, including, path)
	if l.includes == nil {
		l.includes = map[string]*tree.Node{}
	}
	l.includes[key] = nil
	if root != nil {
		l.includes[key] = root.Clone()
	}
	return root
}

// included is the tree of what one entry of include names; nil if it cannot
// be read.
func (l *loader) included(src *source, item *tree.Node, outer *variables.Expander, including []string, path string) *tree.Node {
	paths := item.Value("path")
	if paths == nil || paths.Kind != tree.ListNode || len(paths.Items) == 0 {
		if paths == nil {
			l.Fail(item, path, "path is missing", "write path: and the file to include")
		}
		return nil
	}
	dir := ""
	if d := item.Value("project_directory"); d != nil && d.Kind == tree.ScalarNode {
		dir = fetched.Within(src.base, d.Text)
		if !l.pathsOf(src).May(d, dir, path) {
			return nil
		}
	}
	var included *tree.Node
	var vars *variables.Expander
	for _, p := range paths.Items {
		if p.Kind != tree.ScalarNode {
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
			l.Fail(p, path, err.Error(), "")
			return nil
		}
		for _, doc := range docs {
			included = tree.Merge(included, l.resolve(doc, vars, including), rootKey())
		}
	}
	buildsIn(included, dir)
	l.resolveNames(included, vars)
	return included
}

// resolveNames gives what an included tree takes from the environment by name alone
// the variables of the include: secrets and configs, and the environment of
// services.
func (l *loader) resolveNames(root *tree.Node, vars *variables.Expander) {
	if root == nil {
		return
	}
	for _, section := range []string{"secrets", "configs"} {
		if s := root.Value(section); s != nil {
			for _, f := range s.Fields {
				if name := f.Value.Value("environment"); name != nil && name.Vars() == nil {
					name.SetVars(vars)
				}
			}
		}
	}
	services := root.Value("services")
	if services == nil {
		return
	}
	for _, f := range services.Fields {
		if environment := f.Value.Value("environment"); environment != nil {
			l.fillEnvironment(environment, vars.Lookup)
		}
	}
}

// includePath is the file that one path of an include names.
func (l *loader) includePath(src *source, p *tree.Node, including []string, path string) (string, bool) {
	at, ok := l.fileOf(src, p, path)
	if !ok {
		return "", false
	}
	if slices.Contains(including, at) || len(including) > maxIncludes {
		circle := append(slices.Clone(including), at)
		l.Fail(p, path, "files include each other in a circle: "+strings.Join(l.displayAll(circle), " -> "), "")
		return "", false
	}
	return at, true
}

// buildsIn gives the builds of an included tree that name no context the
// directory of the tree, not that of the including project.
func buildsIn(root *tree.Node, dir string) {
	services := root.Value("services")
	if services == nil {
		return
	}
	for _, f := range services.Fields {
		if build := f.Value.Value("build"); build != nil && build.Kind == tree.MapNode && build.Value("context") == nil {
			build.Set(build.With("context", build.Scalar("!!str", dir)))
		}
	}
}

func (l *loader) displayAll(paths []string) []string {
	out := make([]string, len(paths))
	for i, p := range paths {
		out[i] = l.display(p)
	}
	return out
}

func (l *loader) addIncluded(root, included *tree.Node) {
	included.Remove("name")
	for _, f := range included.Fields {
		if strings.HasPrefix(f.Key, "x-") {
			continue
		}
		own := root.Value(f.Key)
		if own == nil {
			root.Set(f)
			continue
		}
		root.Field(f.Key).Value = tree.Merge(f.Value, own, schema.Find(schema.Root(), f.Key))
	}
}

// includeVariables are the variables of an included file: those of the file
// that includes it over those of the include's environment files; nil if one
// cannot be read.
func (l *loader) includeVariables(src *source, item *tree.Node, outer *variables.Expander, dir, path string) *variables.Expander {
	var files []string
	optional := true
	if list := item.Value("env_file"); list != nil {
		optional = false
		for _, f := range list.Items {
			file := fetched.Within(src.base, f.Text)
			if file != os.DevNull && !l.pathsOf(src).May(f, file, path) {
				return nil
			}
			files = append(files, file)
		}
	} else {
		files = []string{filepath.Join(dir, ".env")}
	}
	l.noteVariables(src, item, files, path)
	files = slices.DeleteFunc(files, func(f string) bool { return f == os.DevNull })
	lookup := outer.Lookup
	for _, f := range files {
		lookup = l.told(l.remotes.Of(f), &spec.Place{File: l.display(f)}, lookup, nil)
	}
	values, _, err := l.envFileValues(files, optional, l.readFile, lookup)
	if err != nil {
		l.Fail(item, path, err.Error(), "")
		return nil
	}
	l.remotes.Compare(values, files, l.readFile, func(name string) (string, bool) {
		value, ok := outer.Lookup(name)
		return value, ok && !l.isCallers(name)
	})
	return &variables.Expander{Lookup: func(name string) (string, bool) {
		if v, ok := outer.Lookup(name); ok {
			return v, true
		}
		v, ok := values[name]
		return v, ok
	}}
}
