package stackfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/orlop/orlop/spec/tree"
	"github.com/orlop/orlop/spec/userfile"

	"github.com/orlop/orlop/spec"

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
	src  *source
	node *yaml.Node
}

// read reads and parses a file that another stack file names. A file that
// cannot be read is an error; one that is not YAML is a diagnostic.
func (l *loader) read(path, base string) ([]document, error) {
	data, err := l.readFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %s", l.display(path), cause(err))
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
		return nil, fmt.Errorf("cannot read %s: %s", name, cause(err))
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
	return rel
}

func (l *loader) parse(src *source) (docs []document) {
	defer func() {
		if r := recover(); r != nil { // yaml.v3 has panicked on broken input before
			l.broken, src.broken = true, true
			l.Report(spec.Diagnostic{Severity: spec.Error, Place: spec.Place{File: src.name, Line: 1, Column: 1}, Message: "not valid YAML"})
			docs = nil
		}
	}()
	decoder := yaml.NewDecoder(bytes.NewReader(src.data))
	for {
		var n yaml.Node
		err := decoder.Decode(&n)
		if errors.Is(err, io.EOF) {
			return docs
		}
		if err != nil {
			l.yamlError(src, err)
			return docs
		}
		docs = append(docs, document{src, &n})
	}
}

// yamlError turns an error of the YAML parser into a diagnostic.
func (l *loader) yamlError(src *source, err error) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	at, hint := spec.Place{File: src.name, Line: 1, Column: 1}, ""
	if m := regexp.MustCompile(`^line (\d+): `).FindStringSubmatch(text); m != nil {
		at.Line, _ = strconv.Atoi(m[1])
		text = text[len(m[0]):]
	}
	if strings.Contains(text, "tab character") && strings.HasPrefix(src.line(at.Line+1), "\t") {
		at.Line++ // the parser names the line before
	}
	if strings.HasPrefix(text, "did not find expected key") || strings.HasPrefix(text, "did not find expected '-' indicator") {
		at.Line = src.firstWrong(at.Line, err.Error()) // the parser names where the mapping or the list begins
		hint = "indent it as the lines that it belongs to"
	}
	line := src.line(at.Line)
	blank := len(line) - len(strings.TrimLeft(line, " \t"))
	at.Column = utf8.RuneCountInString(line[:blank]) + 1
	if tab := strings.IndexByte(line[:blank], '\t'); tab >= 0 {
		at.Column, hint = tab+1, "indent with spaces, not tabs"
	}
	width := utf8.RuneCountInString(strings.TrimSpace(line))
	if quote := strings.IndexAny(line, `"'`); quote >= 0 && strings.HasPrefix(text, "found unexpected end of stream") {
		at.Column, width, hint = utf8.RuneCountInString(line[:quote])+1, 1, "the quote is not closed"
	}
	if m := unknownAnchor.FindStringSubmatch(text); m != nil {
		at.Line, at.Column = src.find("*" + m[1])
		width, hint = utf8.RuneCountInString(m[1])+1, "write &"+m[1]+" before what is meant"
	}
	if isAboutBrackets(text) {
		if f, found := tree.FindFlowFault(string(src.data)); found {
			at.Line, at.Column, width, hint = f.Line, f.Column, f.Width, f.Hint
		}
	}
	l.broken, src.broken = true, true
	l.Report(spec.Diagnostic{Severity: spec.Error, Place: at, Message: "not valid YAML: " + text, Hint: hint, Width: max(1, width)})
}

var unknownAnchor = regexp.MustCompile(`^unknown anchor '(.+)' referenced`)

// find is where a text stands first in the file; its beginning if it doesn't.
func (s *source) find(text string) (line, column int) {
	before, _, ok := strings.Cut(string(s.data), text)
	if !ok {
		return 1, 1
	}
	return strings.Count(before, "\n") + 1, utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
}

// mostTried is how many lines are tried for where the parser loses its way.
const mostTried = 2000

// firstWrong is the line, from one on, with which the text begins to have a mistake of
// the parser's.
func (s *source) firstWrong(from int, mistake string) int {
	end := 0
	for line := 1; end < len(s.data); line++ {
		if i := bytes.IndexByte(s.data[end:], '\n'); i >= 0 {
			end += i + 1
		} else {
			end = len(s.data)
		}
		if line > from+mostTried {
			break
		}
		if line >= from && mistakeIn(s.data[:end]) == mistake {
			return line
		}
	}
	return from
}

// mistakeIn is what the parser says of a text; "" is nothing.
func mistakeIn(text []byte) (mistake string) {
	defer func() { _ = recover() }() // yaml.v3 has panicked on broken input before
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var n yaml.Node
		switch err := decoder.Decode(&n); {
		case errors.Is(err, io.EOF):
			return ""
		case err != nil:
			return err.Error()
		}
	}
}

// isAboutBrackets says that the YAML parser has lost its way in brackets.
func isAboutBrackets(text string) bool {
	return strings.HasSuffix(text, "',' or ']'") || strings.HasSuffix(text, "',' or '}'")
}
