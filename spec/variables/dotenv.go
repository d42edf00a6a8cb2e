package variables

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/orlop/orlop/spec"
)

// EnvFileError is a mistake in an environment file. Its message quotes nothing
// of the line: that may be a piece of a password.
type EnvFileError struct {
	Line, Column int
	Message      string
}

// EnvReading is how the reading of an environment file went.
type EnvReading struct {
	Names    []string              // that it gives a value
	Places   map[string]spec.Place // of these in the file, the last of each
	Unset    []UnsetVariable       // that its values ask for
	Problems []*EnvFileError
}

// mostProblems is how many mistakes of an environment file are told of.
const mostProblems = 20

// ReadEnv reads the lines of an environment file into values: NAME=value with
// optional quotes (double ones with escapes and variables, single ones
// literal, both over several lines), "export", comments, and NAME alone, which
// takes the value of lookup. Variables come from lookup first, then from
// values. A raw file is taken line by line as it stands.
func ReadEnv(data string, raw bool, values map[string]string, lookup func(string) (string, bool)) EnvReading {
	data = strings.TrimPrefix(data, "\uFEFF")
	data = strings.ReplaceAll(data, "\r\n", "\n")
	p := &envParser{data: data, rest: data, line: 1, out: values, lookup: lookup, places: map[string]spec.Place{}}
	for !p.lost && p.rest != "" && len(p.errs) < mostProblems {
		if raw {
			p.rawLine()
		} else {
			p.statement()
		}
	}
	return EnvReading{p.names, p.places, p.unset, p.errs}
}

type envParser struct {
	data   string
	rest   string
	line   int
	out    map[string]string
	lookup func(string) (string, bool)
	names  []string
	begin  spec.Place // of the variable that is being read
	places map[string]spec.Place
	unset  []UnsetVariable
	errs   []*EnvFileError
	later  map[string]string
	lost   bool // what follows can't be told apart
}

func (p *envParser) set(name, value string) {
	if len(p.errs) > 0 { // nothing counts that stands behind a mistake, but to find others
		if p.later == nil {
			p.later = map[string]string{}
		}
		p.later[name] = value
		return
	}
	p.out[name] = value
	p.names = append(p.names, name)
	p.places[name] = p.begin
}

// here is the place of what is left of a line that begins so.
func (p *envParser) here(rest string) spec.Place { return p.place(p.line, len(p.data)-len(rest)) }

func (p *envParser) place(line, offset int) spec.Place {
	return spec.Place{Line: line, Column: 1 + utf8.RuneCountInString(p.data[strings.LastIndexByte(p.data[:offset], '\n')+1:offset])}
}

func (p *envParser) fail(at spec.Place, format string, args ...any) {
	p.errs = append(p.errs, &EnvFileError{at.Line, at.Column, fmt.Sprintf(format, args...)})
}

// skip leaves out the rest of a line that has a mistake. Where a quote begins in it, nobody can tell where that ends.
func (p *envParser) skip() {
	line := p.cutLine()
	p.lost = p.lost || strings.Count(line, `"`)%2 != 0 || strings.Count(line, "'")%2 != 0
}

// cutLine takes the rest of the line.
func (p *envParser) cutLine() string {
	line, rest, _ := strings.Cut(p.rest, "\n")
	p.rest = rest
	p.line++
	return line
}

func (p *envParser) rawLine() {
	p.begin = p.here(strings.TrimLeft(p.rest, " \t"))
	line := strings.TrimLeft(p.cutLine(), " \t")
	if line == "" || line[0] == '#' {
		return
	}
	name, value, ok := strings.Cut(line, "=")
	if name == "" || strings.ContainsFunc(name, unicode.IsSpace) {
		p.fail(p.begin, "the line does not begin with the name of a variable")
		return
	}
	p.assign(name, value, ok)
}

func (p *envParser) assign(name, value string, given bool) {
	if !given {
		var ok bool
		if value, ok = p.lookup(name); !ok {
			return
		}
	}
	p.set(name, value)
}

func (p *envParser) statement() {
	trimmed := strings.TrimLeftFunc(p.rest, unicode.IsSpace)
	p.line += strings.Count(p.rest[:len(p.rest)-len(trimmed)], "\n")
	p.rest = trimmed
	if p.rest == "" {
		return
	}
	if p.rest[0] == '#' {
		p.cutLine()
		return
	}
	if after, ok := strings.CutPrefix(p.rest, "export"); ok && after != "" && (after[0] == ' ' || after[0] == '\t') {
		p.rest = strings.TrimLeft(after, " \t")
	}
	end := strings.IndexAny(p.rest, "=:\n")
	name := p.rest
	if end >= 0 {
		name = p.rest[:end]
	}
	p.begin = p.here(p.rest)
	if !p.checkName(name) {
		p.skip()
		return
	}
	name = strings.TrimSpace(name)
	if end < 0 || p.rest[end] == '\n' {
		p.cutLine()
		p.assign(name, "", false)
		return
	}
	p.rest = strings.TrimLeft(p.rest[end+1:], " \t\v\f\r\u0085\u00a0")
	if p.rest != "" && (p.rest[0] == '"' || p.rest[0] == '\'') {
		p.quoted(name)
		return
	}
	p.unquoted(name)
}

func (p *envParser) checkName(name string) bool {
	trimmed := strings.TrimSpace(name)
	for i, r := range trimmed {
		if unicode.IsLetter(r) || unicode.IsNumber(r) || strings.ContainsRune("_.-[]", r) {
			continue
		}
		if r == ' ' || r == '\t' {
			p.fail(p.here(p.rest[i:]), "the name of a variable holds a space")
		} else {
			p.fail(p.here(p.rest[i:]), "unexpected %q in the name of a variable", string(r))
		}
		return false
	}
	if trimmed == "" {
		p.fail(p.begin, "the name of a variable is missing")
		return false
	}
	return true
}

func (p *envParser) unquoted(name string) {
	number, start := p.line, len(p.data)-len(p.rest)
	value := p.cutLine()
	if i := strings.Index(value, " #"); i >= 0 {
		value = value[:i]
	}
	p.set(name, p.expand(strings.TrimRightFunc(value, unicode.IsSpace), number, start))
}

func (p *envParser) quoted(name string) {
	number, start, quote := p.line, len(p.data)-len(p.rest), p.rest[0]
	var b strings.Builder
	for i := 1; i < len(p.rest); i++ {
		c := p.rest[i]
		switch {
		case c == quote:
			p.rest = p.rest[i+1:]
			value := b.String()
			if quote == '"' {
				value = p.expand(unescape(value), number, start)
			}
			p.set(name, value)
			p.afterQuote()
			return
		case c == '\\' && i+1 < len(p.rest) && p.rest[i+1] == quote:
			b.WriteByte(quote)
			i++
		case c == '\\' && i+1 < len(p.rest):
			b.WriteByte(c)
			i++
			b.WriteByte(p.rest[i])
			if p.rest[i] == '\n' {
				p.line++
			}
		default:
			if c == '\n' {
				p.line++
			}
			b.WriteByte(c)
		}
	}
	p.line = number
	p.fail(p.here(p.rest), "the quote of %s is not closed", name)
	p.lost = true
}

// afterQuote skips a comment behind a quoted value.
func (p *envParser) afterQuote() {
	trimmed := strings.TrimLeft(p.rest, " \t\r")
	if trimmed == "" || trimmed[0] == '#' || trimmed[0] == '\n' {
		p.cutLine()
		return
	}
	p.fail(p.here(trimmed), "unexpected text behind the closing quote")
	p.skip()
}

// expand fills the variables of a value in that begins on a line, at an offset.
func (p *envParser) expand(value string, line, start int) string {
	vars := Expander{Lookup: func(name string) (string, bool) {
		if v, ok := p.lookup(name); ok {
			return v, true
		}
		if v, ok := p.later[name]; ok {
			return v, true
		}
		v, ok := p.out[name]
		return v, ok
	}}
	text, unset, bad := vars.Expand(value)
	if bad != nil {
		message := bad.Message
		if !bad.Required {
			message = "a dollar sign in the value begins no variable: write $$, or put the value into single quotes"
		}
		p.fail(p.place(line, start), "%s", message)
	}
	for _, u := range unset {
		u.At = spec.Place{Line: line, Column: 1}
		if i := strings.Index(p.data[start:], u.Expr); i >= 0 {
			begin := start + i
			u.At.Line = 1 + strings.Count(p.data[:begin], "\n")
			u.At.Column = 1 + utf8.RuneCountInString(p.data[strings.LastIndexByte(p.data[:begin], '\n')+1:begin])
			start = begin + len(u.Expr)
		}
		p.unset = append(p.unset, u)
	}
	return text
}

// unescape resolves the escapes of a double-quoted value; "\$" becomes "$$",
// which expanding variables makes a dollar sign.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		if j := strings.IndexByte("abfnrtv\\\"", s[i]); j >= 0 {
			b.WriteByte("\a\b\f\n\r\t\v\\\""[j])
			continue
		}
		switch {
		case s[i] == '$':
			b.WriteString("$$")
		case s[i] == '0':
			size, code := octal(s[i:])
			b.WriteRune(code)
			i += size - 1
		default:
			b.WriteByte('\\')
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// octal reads "0" and up to three octal digits.
func octal(s string) (size int, code rune) {
	for size < len(s) && size < 4 && '0' <= s[size] && s[size] <= '7' {
		code = code*8 + rune(s[size]-'0')
		size++
	}
	if code > utf8.RuneSelf {
		code &= 0xff
	}
	return size, code
}
