package stackfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/plain"
	"github.com/orlop/orlop/spec/tree"
	"github.com/orlop/orlop/spec/userfile"

	"gopkg.in/yaml.v3"
)

const maxFiles = 500 // read in one load, included ones counted each time

// source is a file that was read.
type source struct {
	name  string // as shown to the user
	path  string // absolute, or "-"
	base  string // directory that its relative paths start from
	data  []byte
	root  string // directory that its paths must stay in, of a file that was fetched; "" otherwise
	lines []string

	broken bool // it is no YAML, or not to its end
}

func (s *source) line(n int) string {
	if s.lines == nil {
		s.lines = strings.Split(string(s.data), "\n")
	}
	if n < 1 || n > len(s.lines) {
		return ""
	}
	return s.lines[n-1]
}

// document is one YAML document of a source.
type document struct {
	src *source
	plain.Document
}

// read reads and parses a file that another stack file names. A file that
// cannot be read is an error; one that is not YAML is a diagnostic.
func (l *loader) read(path, base string) ([]document, error) {
	data, err := l.readFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %s", l.display(path), userfile.Cause(err))
	}
	return l.take(path, base, data)
}

// take parses what was read from a file.
func (l *loader) take(path, base string, data []byte) ([]document, error) {
	if l.reads++; l.reads > maxFiles {
		return nil, fmt.Errorf("a stack may be made of at most %d files", maxFiles)
	}
	src := &source{name: l.display(path), path: path, base: base, root: l.remotes.RootOf(path, base), data: data}
	if l.sources == nil {
		l.sources = map[string]*source{}
	}
	if l.sources[src.name] == nil {
		l.order = append(l.order, src.name)
	}
	l.sources[src.name] = src
	l.otherText = l.otherText || !utf8.ValidString(path) || !utf8.ValidString(base)
	return l.parse(src), nil
}

// contents reads a stack file of the project itself.
func (l *loader) contents(ctx context.Context, path string) ([]byte, error) {
	var data []byte
	var err error
	name := "standard input"
	switch {
	case path == "-" && l.opts.Stdin == nil:
		return nil, errors.New("cannot read a stack file from standard input: there is none")
	case path == "-":
		data, err = l.opts.Given.ReadStdin(ctx, l.opts.Stdin, userfile.MaxText)
	default:
		name = l.display(path)
		data, err = l.readGiven(ctx, path)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %s", name, userfile.Cause(err))
	}
	return data, nil
}

// display is a path as a user would write it.
func (l *loader) display(path string) string {
	if path == "-" {
		return "<stdin>"
	}
	if r := l.remotes.Of(path); r != nil {
		return r.NameOf(path)
	}
	rel, err := filepath.Rel(l.dir, path)
	if err != nil || strings.Count(rel, "..") > 2 {
		return path
	}
	if !filepath.IsLocal(rel) && slices.Contains(slices.Concat(l.envFiles(), l.opts.Files), path) {
		return path // as it was given
	}
	return rel
}

func (l *loader) parse(src *source) (docs []document) {
	if d, ok := plain.Parse(src.name, src.data); ok {
		return []document{{src, d}}
	}
	l.otherText = true // for all that is known here
	for _, d := range plain.Of(src.name, l.nodes(src)...) {
		docs = append(docs, document{src, d})
	}
	return docs
}

// nodes are the documents of a source as yaml.v3 reads them.
func (l *loader) nodes(src *source) (documents []*yaml.Node) {
	defer func() {
		if r := recover(); r != nil { // yaml.v3 has panicked on broken input before
			l.broken, src.broken = true, true
			l.Report(spec.Diagnostic{Severity: spec.Error, Place: spec.Place{File: src.name, Line: 1, Column: 1}, Message: "not valid YAML"})
			documents = nil
		}
	}()
	decoder := yaml.NewDecoder(bytes.NewReader(src.data))
	for {
		var n yaml.Node
		err := decoder.Decode(&n)
		if errors.Is(err, io.EOF) {
			return documents
		}
		if err != nil {
			l.yamlError(src, err)
			return documents
		}
		documents = append(documents, &n)
	}
}

// yamlError turns an error of the YAML parser into a diagnostic.
func (l *loader) yamlError(src *source, err error) {
	f := tree.FaultOf(src.data, err)
	l.broken, src.broken = true, true
	l.Report(spec.Diagnostic{Severity: spec.Error, Place: spec.Place{File: src.name, Line: f.Line, Column: f.Column}, Message: "not valid YAML: " + f.Text, Hint: f.Hint, Width: max(1, f.Width)})
}
