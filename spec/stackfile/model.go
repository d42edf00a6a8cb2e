package stackfile

import (
	"context"
	"path/filepath"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/tree"
)

// Kept says what a Model leaves as it is written.
type Kept struct {
	Variables   bool // they are not filled in
	Environment bool // environment and label files are not read, variables without a value get none
	Defaults    bool // what Compose implies is not filled in: names, the default network, what namespaces and links depend on
	Paths       bool // those of the stack's own files stay relative
}

// Model reads the stack files as Load does and lays them over each other, but makes no
// project of them: it tells what is written there, in long forms. Nothing is checked that
// needs more than one value. Of what Kept leaves it may be no stack that runs.
func Model(ctx context.Context, opts Options) (*tree.Node, spec.Diagnostics, error) {
	opts.SkipPayloads = opts.SkipPayloads || opts.Kept.Variables
	l := newLoader(opts)
	root, _, _, err := l.merge(ctx)
	if err == nil && root.Kind == tree.MapNode && !l.broken {
		err = l.model(root)
	}
	diagnostics := l.diagnostics.Sorted(l.order)
	if err == nil && len(diagnostics.Errors()) > 0 {
		err = &spec.Mistakes{Diagnostics: diagnostics, Project: l.knownName()}
	}
	return root, diagnostics, err
}

// model completes the tree that is merged, and takes out what is not asked for.
func (l *loader) model(root *tree.Node) error {
	v := &validator{l: l, root: root, name: l.name, disabled: map[string]*tree.Node{}}
	kept := l.opts.Kept
	if l.opts.Only = true; kept.Variables {
		l.opts.Profiles = []string{"*"} // they may be variables themselves
	}
	v.splitServices()
	for _, f := range v.workloads() {
		if !kept.Defaults && f.Value.Kind == tree.MapNode {
			v.serviceDefaults(f.Value, v.path(f.Key))
		}
	}
	if !kept.Variables {
		v.findBases()
		if err := v.chosen(); err != nil {
			return err
		}
	}
	if !kept.Defaults {
		v.resourceNames()
	}
	if !kept.Variables {
		known := len(l.diagnostics)
		v.check() // tells what is used
		l.diagnostics = l.diagnostics[:known]
		v.reportUnset()
		v.prune()
	}
	if root.Value("services") != nil {
		root.Value("services").Fields = v.services.Fields
	}
	root.Set(tree.Field{Key: "name", Value: (&tree.Node{}).Scalar("!!str", l.name)})
	return nil
}

// chosen completes the services that are asked for, and takes out the others.
func (v *validator) chosen() error {
	for _, name := range v.l.opts.Services {
		if v.find(name) == nil {
			return &spec.UnknownService{Name: name, Suggestion: spec.Nearest(name, fieldNames(v.services)), Known: fieldNames(v.services)}
		}
	}
	v.choose()
	kept := v.services.Fields[:0:0]
	for _, f := range v.services.Fields {
		if !v.asked[f.Key] && len(v.l.opts.Services) > 0 {
			continue
		}
		kept = append(kept, f)
		if f.Value.Kind == tree.MapNode && !v.l.opts.Kept.Environment {
			v.initEnvironments(f.Value, v.path(f.Key))
			v.l.serviceEnvironment(f.Value, v.path(f.Key))
			v.l.serviceLabels(f.Value, v.path(f.Key))
		}
	}
	v.services.Fields = kept
	return nil
}

// namesFile says that the value that is being built decides which files are read: its
// variables are filled in whatever is asked for.
func (b *builder) namesFile() bool {
	return len(b.path) > 0 && b.path[0].key == "include" ||
		len(b.path) > 2 && b.path[0].key == "services" && b.path[2].key == "extends"
}

// inProject is where a file is that a model names by a path of the project.
func (l *loader) inProject(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(l.projectDir, path)
}
