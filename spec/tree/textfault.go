package tree

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// TextFault is a mistake for which a text is not YAML.
type TextFault struct {
	Line, Column int
	Width        int
	Text         string // what is wrong
	Hint         string // what to do, or ""
}

// FaultOf says where in a text an error of the YAML parser is, and what it means.
func FaultOf(data []byte, err error) TextFault {
	lines := strings.Split(string(data), "\n")
	at := func(n int) string {
		if n < 1 || n > len(lines) {
			return ""
		}
		return lines[n-1]
	}
	f := TextFault{Line: 1, Column: 1, Text: strings.TrimPrefix(err.Error(), "yaml: ")}
	if m := regexp.MustCompile(`^line (\d+): `).FindStringSubmatch(f.Text); m != nil {
		f.Line, _ = strconv.Atoi(m[1])
		f.Text = f.Text[len(m[0]):]
	}
	if strings.Contains(f.Text, "tab character") && strings.HasPrefix(at(f.Line+1), "\t") {
		f.Line++ // the parser names the line before
	}
	if strings.HasPrefix(f.Text, "did not find expected key") || strings.HasPrefix(f.Text, "did not find expected '-' indicator") {
		f.Line = firstWrong(data, f.Line, err.Error()) // the parser names where the mapping or the list begins
		f.Hint = "indent it as the lines that it belongs to"
	}
	f.mark(data, at(f.Line))
	return f
}

// mark finds what of a line is wrong.
func (f *TextFault) mark(data []byte, line string) {
	blank := len(line) - len(strings.TrimLeft(line, " \t"))
	f.Column = utf8.RuneCountInString(line[:blank]) + 1
	if tab := strings.IndexByte(line[:blank], '\t'); tab >= 0 {
		f.Column, f.Hint = tab+1, "indent with spaces, not tabs"
	}
	f.Width = utf8.RuneCountInString(strings.TrimSpace(line))
	if quote := strings.IndexAny(line, `"'`); quote >= 0 && strings.HasPrefix(f.Text, "found unexpected end of stream") {
		f.Column, f.Width, f.Hint = utf8.RuneCountInString(line[:quote])+1, 1, "the quote is not closed"
	}
	if m := unknownAnchor().FindStringSubmatch(f.Text); m != nil {
		f.Line, f.Column = find(data, "*"+m[1])
		f.Width, f.Hint = utf8.RuneCountInString(m[1])+1, "write &"+m[1]+" before what is meant"
	}
	if isAboutBrackets(f.Text) {
		if flow, found := FindFlowFault(string(data)); found {
			f.Line, f.Column, f.Width, f.Hint = flow.Line, flow.Column, flow.Width, flow.Hint
		}
	}
}

var unknownAnchor = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^unknown anchor '(.+)' referenced`) })

// find is where a text stands first in the file; its beginning if it doesn't.
func find(data []byte, text string) (line, column int) {
	before, _, ok := strings.Cut(string(data), text)
	if !ok {
		return 1, 1
	}
	return strings.Count(before, "\n") + 1, utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
}

// mostTried is how many lines are tried for where the parser loses its way.
const mostTried = 2000

// firstWrong is the line, from one on, with which the text begins to have a mistake of
// the parser's.
func firstWrong(data []byte, from int, mistake string) int {
	end := 0
	for line := 1; end < len(data); line++ {
		if i := bytes.IndexByte(data[end:], '\n'); i >= 0 {
			end += i + 1
		} else {
			end = len(data)
		}
		if line > from+mostTried {
			break
		}
		if line >= from && mistakeIn(data[:end]) == mistake {
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
