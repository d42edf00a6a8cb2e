package loop

import (
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/orlop/orlop/spec"
)

// Rule is one rule of a service, ready to match paths.
type Rule struct {
	spec.WatchRule
	Service string // "" is the stack itself: its files make a new plan
	Implied bool   // from the service's build section, not from develop.watch
	defines bool   // its file says what the other rules of the service are
	alone   bool   // about its path and nothing below
	at      string // path of the rule in the project, or "" where none is written

	root    string // Path with its symbolic links resolved
	include *patterns
	ignore  *patterns
	git     *gitIgnore // if it is asked for
	build   *patterns  // of .dockerignore
	context string     // directory that build's patterns start from
}

// Options of a watch.
type Options struct {
	GitIgnore bool // leave out what .gitignore names
	// Triggers are the ONBUILD instructions that the base images of a service's
	// build bring, by service; may be nil.
	Triggers func(p *spec.Project) map[string][]string
	// GitExcludes are the files that git reads beside the .gitignore files of a
	// working tree, the weaker first; may be nil.
	GitExcludes func(top string) []string
}

// Compile makes the rules of a project's services ready: those of
// develop.watch, and for a service that has a build section and no rules,
// what its build reads. No names stands for all services.
func Compile(p *spec.Project, names []string, opts Options) ([]*Rule, error) {
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(p.Services))
	}
	var rules []*Rule
	var triggers map[string][]string
	if opts.Triggers != nil {
		triggers = opts.Triggers(p)
	}
	for _, name := range names {
		s := p.Services[name]
		if s == nil {
			continue
		}
		list, implied := implicitRules(p, name, triggers), true
		if s.Develop != nil && len(s.Develop.Watch) > 0 {
			list, implied = s.Develop.Watch, false
		}
		for i, r := range list {
			if p.IsFetched(r.Path) {
				continue // nobody changes it
			}
			at := fmt.Sprintf("services.%s.develop.watch[%d]", name, i)
			rule, err := compile(name, s, r, opts)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", at, err)
			}
			if rule.Implied = implied; !implied {
				rule.at = at
			}
			rule.defines = implied && s.Build.DockerfileInline == "" && rule.root == resolve(dockerfile(s.Build))
			rules = append(rules, rule)
		}
	}
	return rules, nil
}

// implicitRules are those of a service that says only how it is built: what
// its build reads makes it anew.
func implicitRules(p *spec.Project, service string, triggers map[string][]string) []spec.WatchRule {
	b := p.Buildable(service).Build
	if b == nil || !filepath.IsAbs(b.Context) {
		return nil
	}
	var rules []spec.WatchRule
	switch include, ok := copied(b, triggers[service]); {
	case !ok:
		rules = append(rules, spec.WatchRule{Path: b.Context, Action: spec.WatchRebuild})
	case len(include) > 0:
		rules = append(rules, spec.WatchRule{Path: b.Context, Action: spec.WatchRebuild, Include: include})
	}
	if b.DockerfileInline == "" {
		rules = append(rules, spec.WatchRule{Path: dockerfile(b), Action: spec.WatchRebuild})
	}
	for _, name := range slices.Sorted(maps.Keys(b.AdditionalContexts)) {
		from := b.AdditionalContexts[name]
		if base, ok := strings.CutPrefix(from, "service:"); ok && p.Buildable(base) != nil {
			rules = append(rules, implicitRules(p, base, triggers)...) // spec refuses circles
		}
		if filepath.IsAbs(from) {
			rules = append(rules, spec.WatchRule{Path: from, Action: spec.WatchRebuild})
		}
	}
	return rules
}

func dockerfile(b *spec.Build) string {
	name := b.Dockerfile
	if name == "" {
		name = "Dockerfile"
	}
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(b.Context, name)
}

// IgnoreFiles are the .dockerignore files that the rules of the services come
// from, whether they are there or not.
func IgnoreFiles(p *spec.Project) []string {
	var files []string
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		if b := p.Services[name].Build; b != nil && filepath.IsAbs(b.Context) {
			files = append(files, ignoreFiles(b)...)
		}
	}
	slices.Sort(files)
	return slices.Compact(files)
}

func ignoreFiles(b *spec.Build) []string {
	return []string{dockerfile(b) + ".dockerignore", filepath.Join(b.Context, ".dockerignore")}
}

func compile(service string, s *spec.Service, w spec.WatchRule, opts Options) (*Rule, error) {
	r := &Rule{WatchRule: w, Service: service, root: resolve(w.Path)}
	var err error
	if r.include, err = newPatterns(w.Include); err != nil {
		return nil, err
	}
	if r.ignore, err = newPatterns(w.Ignore); err != nil {
		return nil, err
	}
	if b := s.Build; b != nil && filepath.IsAbs(b.Context) && r.root != resolve(dockerfile(b)) {
		r.context = resolve(b.Context)
		if r.build, err = readPatterns(ignoreFiles(b)...); err != nil {
			return nil, err
		}
	}
	if opts.GitIgnore {
		r.git = newGitIgnore(r.root, opts.GitExcludes)
	}
	return r, nil
}

// gitRules watch the files that say what git leaves out: each below a rule's
// path, and those above that decide for it.
func gitRules(rules []*Rule) (list []*Rule) {
	for _, r := range rules {
		if r.git == nil {
			continue
		}
		in := *r
		in.Service, in.defines = "", true
		in.include, _ = newPatterns([]string{"**/" + gitIgnoreName})
		list = append(list, &in)
		for _, f := range r.git.above(r.root) {
			up := fileRule(f)
			up.defines = true
			list = append(list, up)
		}
	}
	return list
}

// fileRule watches one file of the stack.
func fileRule(file string) *Rule {
	return &Rule{WatchRule: spec.WatchRule{Path: file}, root: resolve(file)}
}

// resolve follows the symbolic links of a path as far as it exists.
func resolve(file string) string {
	file = filepath.Clean(file)
	if real, err := filepath.EvalSymlinks(file); err == nil {
		return real
	}
	parent := filepath.Dir(file)
	if parent == file {
		return file
	}
	return filepath.Join(resolve(parent), filepath.Base(file))
}

// within gives a path from a directory; ok is false for what is not in it.
func within(dir, file string) (rel string, ok bool) {
	switch {
	case file == dir:
		return ".", true
	case dir == "/":
		return file[1:], true
	case len(file) > len(dir) && file[len(dir)] == '/' && strings.HasPrefix(file, dir):
		return file[len(dir)+1:], true
	}
	return "", false
}

// Holds says that a change of a path is one that the rule is about.
func (r *Rule) Holds(file string) bool {
	rel, ok := within(r.root, file)
	if !ok {
		return false
	}
	if rel == "." || r.alone {
		return rel == "."
	}
	if isPrivate(rel) || r.ignore.match(rel) || r.git.match(file) || r.include != nil && !r.include.match(rel) {
		return false
	}
	inContext, ok := within(r.context, file)
	return r.context == "" || !ok || !r.build.match(inContext)
}

// isPrivate says that a path is, or lies in, what version control or an
// editor keeps for itself.
func isPrivate(rel string) bool {
	for part := range strings.SplitSeq(rel, "/") {
		if part == ".git" || isTemporary(part) {
			return true
		}
	}
	return false
}

// Enters says that a directory may hold something that the rule is about.
func (r *Rule) Enters(dir string) bool {
	rel, ok := within(r.root, dir)
	if !ok || r.alone {
		return false
	}
	if isPrivate(rel) || r.ignore.skips(rel) || r.git.skips(dir) || r.include != nil && !r.include.reaches(rel) {
		return false
	}
	inContext, ok := within(r.context, dir)
	return r.context == "" || !ok || !r.build.skips(inContext)
}

// TargetOf is where a path goes in the container.
func (r *Rule) TargetOf(file string) string {
	rel, _ := within(r.root, file)
	return path.Join(r.Target, filepath.ToSlash(rel))
}

// Syncs says that the rule's action writes files into containers.
func (r *Rule) Syncs() bool {
	switch r.Action {
	case spec.WatchSync, spec.WatchSyncRestart, spec.WatchSyncExec:
		return true
	}
	return false
}

// syncsLike says that another rule syncs the same files to the same place from
// the beginning on.
func (r *Rule) syncsLike(other *Rule) bool {
	return other.Syncs() && other.InitialSync == r.InitialSync && other.root == r.root && other.Target == r.Target &&
		slices.Equal(other.Include, r.Include) && slices.Equal(other.Ignore, r.Ignore)
}
