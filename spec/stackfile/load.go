// Package stackfile turns stack files (Compose Specification documents) into one
// canonical Project: short syntax gone, variables filled in, paths absolute,
// several files merged. Every complaint names its place (file:line:column).
// It decides nothing about what exists or runs, and it reads no more than the
// files that the stack names.
package stackfile

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/fetched"
	"github.com/orlop/orlop/spec/forms"
	"github.com/orlop/orlop/spec/schema"
	"github.com/orlop/orlop/spec/tree"
	"github.com/orlop/orlop/spec/userfile"
	"github.com/orlop/orlop/spec/variables"
)

// Options say what to load and from where. The zero value loads the stack
// file of the working directory with an empty environment.
type Options struct {
	Files            []string            // stack files, later ones override; "-" is Stdin; none: COMPOSE_FILE, else Find
	Dir              string              // directory that the search and relative arguments start from; "" is the working directory
	ProjectDirectory string              // directory that paths in the files start from; "" is that of the first file
	Name             string              // name of the project; "" is COMPOSE_PROJECT_NAME, the file's name key, or the directory's name
	Instance         string              // which copy of the stack to load: its project is NAME-INSTANCE; "" is the stack itself
	Compatibility    bool                // names have "_" between their parts; COMPOSE_COMPATIBILITY says the same
	Profiles         []string            // active profiles beside COMPOSE_PROFILES; "*" is all of them
	EnvFiles         []string            // environment files; none: COMPOSE_ENV_FILES, else .env of Dir and of the project directory
	Environ          map[string]string   // the caller's environment
	Services         []string            // services asked for by name: their profiles become active
	Jobs             bool                // Services may name jobs, which are services then
	Only             bool                // what Services and what they depend on do not need may be missing
	NoDeps           bool                // with Only: what they depend on too
	NoConsistency    bool                // what does not fit together is no mistake: names of what is not there, services without an image
	AllResources     bool                // networks, volumes, secrets and configs too that no service uses
	AllowUnset       bool                // an unset variable in an image or a mount's source is a warning, not an error
	Strict           bool                // a key that is not supported is an error, not a warning
	Stdin            io.Reader           // what "-" reads
	Given            *userfile.Given     // reads Stdin and the pipes that Files and EnvFiles name; nil: each load reads them anew
	Seen             func(variables.Use) // called with each variable that the files name; may be nil
	Reading          func(path string)   // called with each file that is read, or would be if it were there; may be nil
	SkipPayloads     bool                // read neither env_file nor the contents of secrets and configs
	Foresee          bool                // warn of what only an up would refuse
	SpareContents    bool                // the contents of secrets and configs may be missing
	Remotes          Remotes             // fetches what stands elsewhere; nil: only local files are read
	Kept             Kept                // what Model leaves as it is written
	ImagesOnly       bool                // what building and pulling does not need may be missing: env_file is not read, contents only needed for build secrets
}

// Load reads the stack files and resolves them into a Project. All complaints
// come at once, sorted by place. The error is a *Mistakes if a diagnostic is
// an error; any other error says that nothing could be read at all.
func Load(ctx context.Context, opts Options) (*spec.Project, spec.Diagnostics, error) {
	l := newLoader(opts)
	project, err := l.load(ctx)
	diagnostics := l.diagnostics.Sorted(l.order)
	if err != nil {
		return nil, diagnostics, err
	}
	if len(diagnostics.Errors()) > 0 {
		return nil, diagnostics, &spec.Mistakes{Diagnostics: diagnostics, Project: l.knownName()}
	}
	return project, diagnostics, nil
}

// loader is one load.
type loader struct {
	tree.Reporter
	opts        Options
	dir         string // absolute directory that the load starts from
	projectDir  string
	env         map[string]string // the caller's environment over that of the environment files
	origins     map[string]string // which environment file a variable of env is from; none: the caller
	given       map[string]bool   // paths of files that the caller names
	chosenBy    string            // who chose the files by COMPOSE_FILE; "" if nobody did
	sources     map[string]*source
	order       []string // names of the sources as they were read
	diagnostics spec.Diagnostics
	extended    map[string]*tree.Node // trees of files that services extend from
	includes    map[string]*tree.Node // trees of entries of include that were read
	reads       int                   // files read so far
	values      int                   // values in them
	readFiles   map[string]string     // environment and label files, by where they are named
	readPlaces  map[string]spec.Place // of those
	name        string                // of the project
	nameHidden  bool                  // a stack file could not be fetched
	nameUnsure  bool                  // what says the name could not be read, whole: name may be wrong
	otherText   bool                  // what was read, or where, may be text of another encoding than UTF-8
	unfilled    bool                  // a value lacks a variable
	broken      bool                  // part of the stack could not be read: what is missing may be there
	envBroken   bool                  // so is part of an environment file
	faults      []*tree.Fault         // mistakes that count only where they are used
	remotes     fetched.Set           // what was fetched
}

func newLoader(opts Options) *loader {
	l := &loader{opts: opts}
	l.Reporter = tree.Reporter{Report: l.keep, Strict: opts.Strict, Unfilled: opts.Kept.Variables}
	return l
}

func (l *loader) load(ctx context.Context) (*spec.Project, error) {
	root, instance, files, err := l.merge(ctx)
	if err != nil {
		return nil, err
	}
	return l.finish(root, l.name, instance, files), nil
}

// merge reads the stack files and lays them over each other.
func (l *loader) merge(ctx context.Context) (root *tree.Node, instance string, files []string, err error) {
	if files, err = l.locate(ctx); err != nil {
		return nil, "", nil, err
	}
	l.remotes.Fetch = func(reference string) (*spec.Remote, error) {
		return l.opts.Remotes.Fetch(ctx, reference, l.projectDir)
	}
	docs, err := l.readAll(ctx, files)
	if err != nil {
		return nil, "", nil, err
	}
	name := l.projectName(files, docs)
	if l.opts.Instance != "" {
		if instance, err = spec.InstanceName(l.opts.Instance); err != nil {
			return nil, "", nil, err
		}
		name += "-" + instance
	}
	l.name = name
	l.env["COMPOSE_PROJECT_NAME"] = name
	vars := &variables.Expander{Lookup: l.lookup, Seen: l.opts.Seen}
	root = &tree.Node{Kind: tree.MapNode}
	for _, doc := range docs {
		if err := ctx.Err(); err != nil {
			return nil, "", nil, context.Cause(ctx)
		}
		root = tree.Merge(root, l.resolve(doc, vars, nil), rootKey())
	}
	tree.Tidy(root, rootKey())
	return root, instance, files, nil
}

// readAll reads the stack files of the project itself. Paths of those that are fetched
// become those of their files here.
func (l *loader) readAll(ctx context.Context, files []string) (docs []document, err error) {
	for i, path := range files {
		path, base, err := l.stackFile(path)
		if err != nil {
			l.absent(err)
			continue
		}
		files[i] = path
		data, err := l.contents(ctx, path)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			return nil, l.named(err)
		}
		read, err := l.take(path, base, data)
		if err != nil {
			return nil, err
		}
		docs = append(docs, read...)
	}
	return docs, nil
}

// root is the row of the whole file.
func rootKey() *schema.Key { return &schema.Key{Shape: schema.Object, Keys: schema.Root()} }

// lookup is the value of a variable for interpolation.
func (l *loader) lookup(name string) (string, bool) {
	v, ok := l.env[name]
	return v, ok
}

// within makes a path of the caller absolute.
func (l *loader) within(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(l.dir, path)
}

// resolve turns one document into a canonical tree: variables filled in,
// checked, included files and extended services resolved.
func (l *loader) resolve(doc document, vars *variables.Expander, including []string) *tree.Node {
	root := l.conform(doc, vars)
	if root.Kind != tree.MapNode {
		return root
	}
	l.include(root, doc.src, vars, including)
	l.extendAll(root, doc.src, vars)
	return root
}

// conform turns one document into a checked tree.
func (l *loader) conform(doc document, vars *variables.Expander) *tree.Node {
	b := &builder{l: l, src: doc.src, vars: vars}
	if r := l.remotes.Of(doc.src.path); r != nil {
		b.vars = &variables.Expander{Lookup: l.told(r, &b.at, vars.Lookup, &b.told), Seen: vars.Seen}
	}
	root := b.document(doc.Document)
	l.values += b.count
	switch {
	case root.Kind == tree.NullNode:
		return root
	case b.full:
		return root.Bad()
	}
	c := &forms.Conformer{Reporter: l.Reporter, Base: doc.src.base, Home: l.opts.Environ["HOME"], AllowUnset: l.opts.AllowUnset}
	c.KeepPaths = l.opts.Kept.Paths && doc.src.base == l.projectDir
	root = c.Object(root, schema.Root(), "")
	l.pathsOf(doc.src).Confine(root)
	if services := root.Value("services"); services != nil && len(services.Fields) > maxServices {
		l.Fail(services, "services", fmt.Sprintf("a stack may hold at most %d services", maxServices), "")
		return root.Bad()
	}
	return root
}

// readFile reads a file that a stack file names.
func (l *loader) readFile(path string) ([]byte, error) {
	l.reading(path)
	if err := l.remotes.MustHave(path); err != nil {
		return nil, err
	}
	return userfile.Read(path)
}

// readGiven reads a file that may be one that the caller names: that may be a
// pipe, too.
func (l *loader) readGiven(ctx context.Context, path string) ([]byte, error) {
	if !l.given[path] {
		return l.readFile(path)
	}
	l.reading(path)
	return l.opts.Given.Read(ctx, path, userfile.MaxText)
}

// reading tells the caller of a file that the outcome depends on. Those that were
// fetched never change.
func (l *loader) reading(path string) {
	if l.opts.Reading != nil && l.remotes.Of(path) == nil {
		l.opts.Reading(path)
	}
}

// keep keeps a diagnostic and the line that it speaks of.
func (l *loader) keep(d spec.Diagnostic) {
	if src := l.sources[d.Place.File]; src != nil && d.Source == "" {
		d.Source = src.line(d.Place.Line)
	}
	d.Width = max(1, d.Width)
	l.diagnostics = append(l.diagnostics, d)
}
