package spec

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// environment settles the variables of the load: the caller's environment
// over the environment files.
func (l *loader) environment() error {
	l.env = maps.Clone(l.opts.Environ)
	if l.env == nil {
		l.env = map[string]string{}
	}
	files := l.opts.EnvFiles
	if len(files) == 0 {
		files = fieldsOf(l.opts.Environ["COMPOSE_ENV_FILES"], ",")
	}
	optional := len(files) == 0
	if optional {
		files = []string{filepath.Join(l.projectDir, ".env")}
	}
	values, err := l.envFileValues(files, optional)
	if err != nil {
		return err
	}
	for name, value := range values {
		if _, ok := l.env[name]; !ok {
			l.env[name] = value
		}
	}
	return nil
}

// envFileValues reads environment files, later ones over earlier ones.
func (l *loader) envFileValues(files []string, optional bool) (map[string]string, error) {
	values := map[string]string{}
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
			return nil, fmt.Errorf("cannot read the environment file %s: %s", l.display(path), cause(err))
		}
		problem := parseEnvFile(string(data), false, values, func(name string) (string, bool) {
			v, ok := l.opts.Environ[name]
			return v, ok
		})
		if problem != nil {
			l.envFileMistake(path, problem)
		}
	}
	return values, nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// envFileMistake reports a mistake inside an environment file. Its line is
// not shown: it may hold a password.
func (l *loader) envFileMistake(path string, problem *envFileError) {
	name := l.display(path)
	l.report(Diagnostic{Severity: Error, Place: Place{File: name, Line: problem.line, Column: 1}, Message: problem.message})
}

// projectName settles the name of the project.
func (l *loader) projectName(docs []document) string {
	if l.opts.Name != "" {
		l.checkProjectName(l.opts.Name, &node{}, "the project name")
		return l.opts.Name
	}
	if name := l.env["COMPOSE_PROJECT_NAME"]; name != "" {
		l.checkProjectName(name, &node{}, "COMPOSE_PROJECT_NAME")
		return name
	}
	name := ""
	for _, doc := range docs {
		given := topLevelName(doc)
		if given == nil {
			continue
		}
		text, _, bad := (&variables{lookup: l.lookup}).expand(given.text)
		if bad == nil && text != "" {
			name = text
			l.checkProjectName(text, given, "name")
		}
	}
	if name != "" {
		return name
	}
	if name = normalName(filepath.Base(l.projectDir)); name == "" && !l.broken {
		l.fail(&node{at: Place{l.order[0], 1, 1}, width: 1}, "",
			fmt.Sprintf("the directory %q gives the project no name: no character of it may stand in one", shorten(filepath.Base(l.projectDir))),
			"write name: at the top of the file, or name it with -p")
	}
	return name
}

// topLevelName is the name key of a document as it is written.
func topLevelName(doc document) *node {
	if len(doc.node.Content) == 0 {
		return nil
	}
	content := doc.node.Content[0].Content
	for i := 0; i+1 < len(content); i += 2 {
		if v := content[i+1]; content[i].Value == "name" && v.Value != "" {
			return &node{text: v.Value, at: Place{doc.src.name, v.Line, v.Column}, width: utf8.RuneCountInString(v.Value)}
		}
	}
	return nil
}

func (l *loader) checkProjectName(name string, at *node, what string) {
	if name == normalName(name) {
		return
	}
	hint := ""
	if normal := normalName(name); normal != "" {
		hint = fmt.Sprintf("write %q", normal)
	}
	l.fail(at, "", fmt.Sprintf("%s %q is not lower-case letters, digits, dashes and underscores, starting with a letter or digit",
		what, shorten(name)), hint)
}

// normalName is a directory's name as a project may be called.
func normalName(s string) string {
	s = strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return -1
	}, strings.ToLower(s))
	return strings.TrimLeft(s, "-_")
}

// serviceEnvironment merges the env_file entries of a service below its
// environment and fills values in that the caller's environment has.
func (l *loader) serviceEnvironment(service *node, path string) {
	values := map[string]field{}
	var order []string
	if files := service.value("env_file"); files != nil && !l.opts.SkipPayloads {
		for i, f := range files.items {
			if f.kind == mapNode {
				order = append(order, l.envFile(f, values, indexed(path+".env_file", i))...)
			}
		}
	}
	service.remove("env_file")
	environment := service.value("environment")
	if len(order) > 0 && environment == nil {
		environment = service.mapping()
		service.set(service.with("environment", environment))
	}
	if environment == nil || environment.kind != mapNode {
		return
	}
	own := make(map[string]bool, len(environment.fields)+len(order))
	for _, f := range environment.fields {
		own[f.key] = true
	}
	for _, name := range order {
		if !own[name] {
			own[name] = true
			environment.fields = append(environment.fields, values[name])
		}
	}
	for i := range environment.fields {
		f := &environment.fields[i]
		if f.value.kind == nullNode {
			if v, ok := l.env[f.key]; ok {
				f.value = f.value.scalar("!!str", v)
			}
		}
	}
}

// envFile reads one env_file entry into values and names what it read.
func (l *loader) envFile(entry *node, values map[string]field, path string) []string {
	at := entry.value("path")
	if at == nil || at.kind != scalarNode {
		return nil
	}
	data, err := l.readFile(at.text)
	if err != nil {
		if required := entry.value("required"); os.IsNotExist(err) && required != nil && required.text == "false" {
			return nil
		}
		l.fail(at, path, fmt.Sprintf("cannot read %s: %s", cmpOr(at.raw, at.text), cause(err)), "create it, or write required: false")
		return nil
	}
	format := entry.value("format")
	parsed := map[string]string{}
	problem := parseEnvFile(string(data), format != nil && format.text == "raw", parsed, func(name string) (string, bool) {
		if f, ok := values[name]; ok {
			return f.value.text, true
		}
		return l.lookup(name)
	})
	if problem != nil {
		l.fail(at, path, fmt.Sprintf("%s:%d: %s", l.display(at.text), problem.line, problem.message), "")
		return nil
	}
	var names []string
	for name, value := range parsed {
		values[name] = at.with(name, at.scalar("!!str", value))
		names = append(names, name)
	}
	return names
}
