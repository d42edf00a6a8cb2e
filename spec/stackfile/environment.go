package stackfile

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"unicode/utf8"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/plain"
	"github.com/orlop/orlop/spec/tree"
	"github.com/orlop/orlop/spec/userfile"
	"github.com/orlop/orlop/spec/variables"
)

// envFileValues reads environment files, later ones over earlier ones. It
// tells which of them each variable is from.
func (l *loader) envFileValues(files []string, optional bool, read func(path string) ([]byte, error), lookup func(string) (string, bool)) (values, from map[string]string, unread error) {
	values, from = map[string]string{}, map[string]string{}
	for _, f := range files {
		if f == os.DevNull {
			continue
		}
		path := l.within(f)
		data, err := read(path)
		if optional && (os.IsNotExist(err) || err != nil && isDir(path)) {
			continue
		}
		if err != nil {
			unread = errors.Join(unread, fmt.Errorf("cannot read the environment file %s: %s", l.display(path), userfile.Cause(err)))
			continue
		}
		found := l.readEnv(path, data, false, values, lookup)
		for _, problem := range found.Problems {
			l.envBroken = true
			l.envFileMistake(path, "", problem)
		}
		for _, name := range found.Names {
			from[name] = path
		}
	}
	return values, from, unread
}

// readEnv reads the text of an environment file into values and warns of
// variables in it that have no value: a dollar sign of a password looks like
// one. The variable is named though it may be a piece of that password: by the
// rules of the format it is a name, and without it nobody who meant a variable
// could tell which one to set. The line and the value are not shown.
func (l *loader) readEnv(path string, data []byte, raw bool, values map[string]string, lookup func(string) (string, bool)) variables.EnvReading {
	read := variables.ReadEnv(string(data), raw, values, lookup)
	l.otherText = l.otherText || !utf8.Valid(data)
	for _, u := range read.Unset {
		u.At.File = l.display(path)
		l.Report(spec.Diagnostic{Severity: spec.Warning, Place: u.At, Width: len(u.Expr), About: spec.UnsetTopic(u.Name), Message: unsetMessage(u.Name),
			Hint: "for a dollar sign write $$, or put the value into single quotes"})
	}
	return read
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// envFileMistake reports a mistake inside an environment file. Its line is
// not shown: it may hold a password.
func (l *loader) envFileMistake(path, of string, problem *variables.EnvFileError) {
	l.Report(spec.Diagnostic{Severity: spec.Error, Path: of, Place: spec.Place{File: l.display(path), Line: problem.Line, Column: problem.Column}, Message: problem.Message})
}

// projectName finds the name of the project.
func (l *loader) projectName(files []string, docs []document) string {
	if l.opts.Name != "" {
		l.checkProjectName(l.opts.Name, &tree.Node{}, "the project name")
		return l.opts.Name
	}
	if name := l.env["COMPOSE_PROJECT_NAME"]; name != "" {
		l.checkProjectName(name, &tree.Node{}, "COMPOSE_PROJECT_NAME")
		return name
	}
	name, sure := l.givenName(files, docs)
	l.nameUnsure = !sure || l.envBroken || l.nameHidden
	if name != "" {
		return name
	}
	if name = spec.NormalName(filepath.Base(l.projectDir)); name == "" && !l.broken {
		l.Fail(&tree.Node{At: spec.Place{File: l.order[0], Line: 1, Column: 1}, Width: 1}, "",
			fmt.Sprintf("the directory %q gives the project no name: no character of it may stand in one", spec.Shorten(filepath.Base(l.projectDir))),
			"write name: at the top of the file, or name it with -p")
	}
	return name
}

// givenName is the name that the last of the stack files gives the project,
// "" if none does. It is not sure where that can't be read.
func (l *loader) givenName(files []string, docs []document) (name string, sure bool) {
	sure = true
	for _, path := range files {
		src := l.sources[l.display(path)]
		if src == nil {
			continue // it could not be fetched
		}
		if src.broken {
			switch written, ok := plain.NameInBroken(src.data); {
			case !ok:
				name, sure = "", false
			case written != "":
				name, sure = written, true
			}
			continue
		}
		for _, doc := range docs {
			given := topLevelName(doc)
			if doc.src.name != src.name || given == nil {
				continue
			}
			text, _, bad := (&variables.Expander{Lookup: l.lookup}).Expand(given.Text)
			switch {
			case bad != nil:
				name, sure = "", false
			case text != "":
				name, sure = text, true
				l.checkProjectName(text, given, "name")
			}
		}
	}
	return name, sure
}

// topLevelName is the name key of a document as it is written.
func topLevelName(doc document) *tree.Node {
	for _, f := range doc.Root.Fields {
		v := f.Value
		if v.Kind == tree.AliasNode && len(v.Items) > 0 {
			v = v.Items[0]
		}
		if f.Key == "name" && v.Text != "" {
			return &tree.Node{Text: v.Text, At: v.At, Width: utf8.RuneCountInString(v.Text)}
		}
	}
	return nil
}

func (l *loader) checkProjectName(name string, at *tree.Node, what string) {
	if name == spec.NormalName(name) {
		return
	}
	hint := ""
	if normal := spec.NormalName(name); normal != "" {
		hint = fmt.Sprintf("write %q", normal)
	}
	l.Fail(at, "", fmt.Sprintf("%s %q is not lower-case letters, digits, dashes and underscores, starting with a letter or digit",
		what, spec.Shorten(name)), hint)
}

// serviceEnvironment merges the env_file entries of a service below its
// environment and fills values in that the caller's environment has.
func (l *loader) serviceEnvironment(service *tree.Node, path string) {
	files, environment := service.Value("env_file"), service.Value("environment")
	service.Remove("env_file")
	l.notes(files, path+".env_file")
	if environment != nil && environment.Kind != tree.MapNode {
		return
	}
	if environment != nil {
		l.fillEnvironment(environment, l.lookup)
	}
	for _, key := range []string{"post_start", "pre_stop"} {
		for _, hook := range service.Value(key).Entries() {
			if own := hook.Value("environment"); own != nil {
				l.fillEnvironment(own, l.lookup)
			}
		}
	}
	if files == nil || l.opts.SkipPayloads || l.opts.ImagesOnly {
		return
	}
	e := envFileReader{l: l, environment: environment, values: map[string]string{}, entries: map[string]*tree.Node{}}
	for i, f := range files.Items {
		if f.Kind == tree.MapNode {
			e.read(f, tree.Indexed(path+".env_file", i))
		}
	}
	if len(e.names) == 0 {
		return
	}
	if environment == nil {
		environment = service.Mapping()
		service.Set(service.With("environment", environment))
	}
	environment.LayBelow(e.names, e.entries, e.values)
}

// fillEnvironment gives variables without a value that of lookup.
func (l *loader) fillEnvironment(environment *tree.Node, lookup func(string) (string, bool)) {
	for i := range environment.Fields {
		f := &environment.Fields[i]
		if f.Value.Kind == tree.NullNode && f.Value.Merge == tree.MergeNormally {
			if v, ok := l.toldAt(f.At, lookup)(f.Key); ok {
				f.Value = f.Value.Scalar("!!str", v)
			}
		}
	}
}

// envFileReader reads the env_file entries of one service.
type envFileReader struct {
	l           *loader
	environment *tree.Node            // what the service says itself; may be nil
	values      map[string]string     // of all entries
	names       []string              // in the order that they were read
	entries     map[string]*tree.Node // the path that each is from
}

func (e *envFileReader) read(entry *tree.Node, path string) {
	l, at := e.l, entry.Value("path")
	if at == nil || at.Kind != tree.ScalarNode {
		return
	}
	data, err := l.readFile(l.inProject(at.Text))
	if err != nil {
		if required := entry.Value("required"); os.IsNotExist(err) && required != nil && required.Text == "false" {
			return
		}
		if at.Raw() == "" && errors.Is(err, syscall.EISDIR) { // resolved, nothing is the project's directory
			l.Fail(at, path, "the path is empty", "name a file, or take the entry away")
			return
		}
		l.Fail(at, path, fmt.Sprintf("cannot read %s: %s", cmp.Or(at.Raw(), at.Text), userfile.Cause(err)), hintForMissing(err))
		return
	}
	read := l.readEnv(at.Text, data, tree.TextAt(entry, "format") == "raw", e.values, l.told(l.remotes.Of(at.Text), &spec.Place{File: l.display(at.Text)}, e.lookup, nil))
	for _, problem := range read.Problems {
		l.envFileMistake(at.Text, path, problem)
	}
	for _, name := range read.Names {
		if e.entries[name] == nil {
			e.names = append(e.names, name)
		}
		e.entries[name] = at.MovedTo(l.display(at.Text), read.Places[name])
	}
}

// lookup is the value of a variable in an env_file: of the load, else of the
// service's own environment.
func (e *envFileReader) lookup(name string) (string, bool) {
	if v, ok := e.l.lookup(name); ok || e.environment == nil {
		return v, ok
	}
	own := e.environment.Value(name)
	if own == nil || own.Kind != tree.ScalarNode {
		return "", false
	}
	return own.Text, true
}

// hintForMissing is what to do about a file that can't be read: there is nothing to
// create where it is there.
func hintForMissing(err error) string {
	if os.IsNotExist(err) {
		return "create it, or write required: false"
	}
	return "name a regular file that can be read"
}
