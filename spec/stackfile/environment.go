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

	"gopkg.in/yaml.v3"
)

// envFileValues reads environment files, later ones over earlier ones. It
// tells which of them each variable is from.
func (l *loader) envFileValues(files []string, optional bool, lookup func(string) (string, bool)) (values, from map[string]string, err error) {
	values, from = map[string]string{}, map[string]string{}
	for _, f := range files {
		if f == os.DevNull {
			continue
		}
		path := l.within(f)
		data, err := l.readFile(path)
		if optional && (os.IsNotExist(err) || err != nil && isDir(path)) {
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("cannot read the environment file %s: %s", l.display(path), cause(err))
		}
		read := l.readEnv(path, data, false, values, lookup)
		if read.problem != nil {
			l.envFileMistake(path, read.problem)
		}
		for _, name := range read.names {
			from[name] = path
		}
	}
	return values, from, nil
}

// readEnv reads the text of an environment file into values and warns of
// variables in it that have no value: a dollar sign of a password looks like
// one. The variable is named though it may be a piece of that password: by the
// rules of the format it is a name, and without it nobody who meant a variable
// could tell which one to set. The line and the value are not shown.
func (l *loader) readEnv(path string, data []byte, raw bool, values map[string]string, lookup func(string) (string, bool)) envReading {
	read := readEnv(string(data), raw, values, lookup)
	for _, u := range read.unset {
		u.at.File = l.display(path)
		l.report(spec.Diagnostic{Severity: spec.Warning, Place: u.at, Width: len(u.expr), About: spec.UnsetTopic(u.name), Message: unsetMessage(u.name),
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
func (l *loader) envFileMistake(path string, problem *envFileError) {
	l.envBroken = true
	name := l.display(path)
	l.report(spec.Diagnostic{Severity: spec.Error, Place: spec.Place{File: name, Line: problem.line, Column: 1}, Message: problem.message})
}

// projectName finds the name of the project.
func (l *loader) projectName(files []string, docs []document) string {
	if l.opts.Name != "" {
		l.checkProjectName(l.opts.Name, &node{}, "the project name")
		return l.opts.Name
	}
	if name := l.env["COMPOSE_PROJECT_NAME"]; name != "" {
		l.checkProjectName(name, &node{}, "COMPOSE_PROJECT_NAME")
		return name
	}
	name, sure := l.givenName(files, docs)
	l.nameUnsure = !sure || l.envBroken
	if name != "" {
		return name
	}
	if name = spec.NormalName(filepath.Base(l.projectDir)); name == "" && !l.broken {
		l.fail(&node{at: spec.Place{File: l.order[0], Line: 1, Column: 1}, width: 1}, "",
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
		if src.broken {
			switch written, ok := nameInBroken(src.data); {
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
			text, _, bad := (&variables{lookup: l.lookup}).expand(given.text)
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
func topLevelName(doc document) *node {
	if len(doc.node.Content) == 0 {
		return nil
	}
	content := doc.node.Content[0].Content
	for i := 0; i+1 < len(content); i += 2 {
		v := content[i+1]
		if v.Kind == yaml.AliasNode {
			v = v.Alias
		}
		if content[i].Value == "name" && v.Value != "" {
			return &node{text: v.Value, at: spec.Place{File: doc.src.name, Line: v.Line, Column: v.Column}, width: utf8.RuneCountInString(v.Value)}
		}
	}
	return nil
}

func (l *loader) checkProjectName(name string, at *node, what string) {
	if name == spec.NormalName(name) {
		return
	}
	hint := ""
	if normal := spec.NormalName(name); normal != "" {
		hint = fmt.Sprintf("write %q", normal)
	}
	l.fail(at, "", fmt.Sprintf("%s %q is not lower-case letters, digits, dashes and underscores, starting with a letter or digit",
		what, spec.Shorten(name)), hint)
}

// serviceEnvironment merges the env_file entries of a service below its
// environment and fills values in that the caller's environment has.
func (l *loader) serviceEnvironment(service *node, path string) {
	files, environment := service.value("env_file"), service.value("environment")
	service.remove("env_file")
	if environment != nil && environment.kind != mapNode {
		return
	}
	if environment != nil {
		fillEnvironment(environment, l.lookup)
	}
	if files == nil || l.opts.SkipPayloads || l.opts.ImagesOnly {
		return
	}
	e := envFileReader{l: l, environment: environment, values: map[string]string{}, entries: map[string]*node{}}
	for i, f := range files.items {
		if f.kind == mapNode {
			e.read(f, indexed(path+".env_file", i))
		}
	}
	if len(e.names) == 0 {
		return
	}
	if environment == nil {
		environment = service.mapping()
		service.set(service.with("environment", environment))
	}
	environment.layBelow(e.names, e.entries, e.values)
}

// fillEnvironment gives variables without a value that of lookup.
func fillEnvironment(environment *node, lookup func(string) (string, bool)) {
	for i := range environment.fields {
		f := &environment.fields[i]
		if f.value.kind == nullNode && f.value.merge == mergeNormally {
			if v, ok := lookup(f.key); ok {
				f.value = f.value.scalar("!!str", v)
			}
		}
	}
}

// envFileReader reads the env_file entries of one service.
type envFileReader struct {
	l           *loader
	environment *node             // what the service says itself; may be nil
	values      map[string]string // of all entries
	names       []string          // in the order that they were read
	entries     map[string]*node  // the path that each is from
}

func (e *envFileReader) read(entry *node, path string) {
	l, at := e.l, entry.value("path")
	if at == nil || at.kind != scalarNode {
		return
	}
	data, err := l.readFile(at.text)
	if err != nil {
		if required := entry.value("required"); os.IsNotExist(err) && required != nil && required.text == "false" {
			return
		}
		if at.raw == "" && errors.Is(err, syscall.EISDIR) { // resolved, nothing is the project's directory
			l.fail(at, path, "the path is empty", "name a file, or take the entry away")
			return
		}
		l.fail(at, path, fmt.Sprintf("cannot read %s: %s", cmp.Or(at.raw, at.text), cause(err)), "create it, or write required: false")
		return
	}
	read := l.readEnv(at.text, data, textAt(entry, "format") == "raw", e.values, e.lookup)
	if problem := read.problem; problem != nil {
		l.fail(at, path, fmt.Sprintf("%s:%d: %s", l.display(at.text), problem.line, problem.message), "")
		return
	}
	for _, name := range read.names {
		if e.entries[name] == nil {
			e.names = append(e.names, name)
		}
		e.entries[name] = at
	}
}

// lookup is the value of a variable in an env_file: of the load, else of the
// service's own environment.
func (e *envFileReader) lookup(name string) (string, bool) {
	if v, ok := e.l.lookup(name); ok || e.environment == nil {
		return v, ok
	}
	own := e.environment.value(name)
	if own == nil || own.kind != scalarNode {
		return "", false
	}
	return own.text, true
}
