package stackfile

import (
	"fmt"
	"strings"

	"github.com/orlop/orlop/spec"
)

// maxNesting is how deep one variable may stand in another's default.
const maxNesting = 32

// variables fills variables into text (Compose Specification,
// "Interpolation"): $X, ${X}, ${X:-d}, ${X-d}, ${X:?e}, ${X?e}, ${X:+a},
// ${X+a}, each nested, and $$ for a dollar sign.
type variables struct {
	lookup func(name string) (string, bool)
}

// unsetVariable is a variable without a value that a text asks for.
type unsetVariable struct {
	name    string
	expr    string // as it is written
	offset  int    // in the text
	leading bool   // nothing of the outcome stands before it
	at      spec.Place
}

// badExpression is an expression that cannot be filled in.
type badExpression struct {
	expr     string
	offset   int
	message  string
	hint     string
	required bool // a variable is missing that must be there; nothing is wrong with the expression
}

// expand fills the variables of s in. It tells which had no value, and the
// first expression that is wrong.
func (v *variables) expand(s string) (string, []unsetVariable, *badExpression) {
	e := expansion{vars: v}
	text := e.expand(s, 0, 0)
	return text, e.unset, e.bad
}

type expansion struct {
	vars  *variables
	unset []unsetVariable
	bad   *badExpression
}

func (e *expansion) fail(expr string, offset int, message, hint string) {
	if e.bad == nil {
		e.bad = &badExpression{expr: expr, offset: offset, message: message, hint: hint}
	}
}

func (e *expansion) expand(s string, offset, depth int) string {
	var b strings.Builder
	for e.bad == nil {
		i := strings.IndexByte(s, '$')
		if i < 0 || i+1 == len(s) {
			b.WriteString(s)
			break
		}
		b.WriteString(s[:i])
		s, offset = s[i:], offset+i
		size, unset := 2, len(e.unset)
		switch next := s[1]; {
		case next == '$':
			b.WriteByte('$')
		case next == '{':
			size = closing(s)
			if size < 0 {
				e.fail(s[:min(len(s), 20)], offset, fmt.Sprintf("%q is not closed by a brace", spec.Shorten(s)), "write $$ for a dollar sign")
				return ""
			}
			b.WriteString(e.braced(s[:size], offset, depth))
		case isNameStart(next):
			size = 1 + nameLength(s[1:])
			b.WriteString(e.plain(s[1:size], s[:size], offset))
		default:
			b.WriteByte('$')
			size = 1
		}
		for ; unset < len(e.unset) && b.Len() == 0 && depth == 0; unset++ {
			e.unset[unset].leading = true
		}
		s, offset = s[size:], offset+size
	}
	return b.String()
}

// closing is the length of the "${...}" at the start of s, or -1.
func closing(s string) int {
	open := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '{':
			open++
		case '}':
			if open--; open == 0 {
				return i + 1
			}
		}
	}
	return -1
}

func isNameStart(c byte) bool {
	return c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func nameLength(s string) int {
	n := 0
	for n < len(s) && (isNameStart(s[n]) || n > 0 && '0' <= s[n] && s[n] <= '9') {
		n++
	}
	return n
}

func (e *expansion) plain(name, expr string, offset int) string {
	value, ok := e.vars.lookup(name)
	if !ok {
		e.unset = append(e.unset, unsetVariable{name: name, expr: expr, offset: offset})
	}
	return value
}

// braced fills in one "${...}".
func (e *expansion) braced(expr string, offset, depth int) string {
	if depth >= maxNesting {
		e.fail(expr, offset, fmt.Sprintf("variables are nested more than %d levels deep", maxNesting), "")
		return ""
	}
	inner := expr[2 : len(expr)-1]
	n := nameLength(inner)
	name, rest := inner[:n], inner[n:]
	operator := operatorOf(rest)
	if n == 0 || (rest != "" && operator == "") {
		e.fail(expr, offset, fmt.Sprintf("%q is not a variable", spec.Shorten(expr)), "write ${NAME}, ${NAME:-default}, or $$ for a dollar sign")
		return ""
	}
	if operator == "" {
		return e.plain(name, expr, offset)
	}
	argument, at := rest[len(operator):], offset+2+n+len(operator)
	value, ok := e.vars.lookup(name)
	present := ok && (value != "" || operator[0] != ':')
	switch operator[len(operator)-1] {
	case '-':
		if present {
			return value
		}
		return e.expand(argument, at, depth+1)
	case '+':
		if !present {
			return ""
		}
		return e.expand(argument, at, depth+1)
	default: // '?'
		if present {
			return value
		}
		e.required(name, expr, offset, e.expand(argument, at, depth+1))
		return ""
	}
}

func (e *expansion) required(name, expr string, offset int, reason string) {
	message := fmt.Sprintf("required variable %s is not set", name)
	if _, ok := e.vars.lookup(name); ok {
		message = fmt.Sprintf("required variable %s is empty", name)
	}
	if reason != "" {
		message += ": " + reason
	}
	if e.fail(expr, offset, message, "set it in the environment or in .env"); e.bad.offset == offset {
		e.bad.required = true
	}
}

// operatorOf is the operator that s starts with, or "".
func operatorOf(s string) string {
	for _, o := range [...]string{":-", ":?", ":+", "-", "?", "+"} {
		if strings.HasPrefix(s, o) {
			return o
		}
	}
	return ""
}
