// Package variables fills variables in (Compose Specification, interpolation), and
// reads the files that hold them (dotenv).
package variables

import (
	"fmt"
	"strings"

	"github.com/orlop/orlop/spec"
)

// MaxNesting is how deep one variable may stand in another's default.
const MaxNesting = 32

// Expander fills variables into text (Compose Specification,
// "Interpolation"): $X, ${X}, ${X:-d}, ${X-d}, ${X:?e}, ${X?e}, ${X:+a},
// ${X+a}, each nested, and $$ for a dollar sign.
type Expander struct {
	Lookup func(name string) (string, bool)
	Seen   func(Use) // told of each variable that a text names; may be nil
}

// Use is how a text names a variable.
type Use struct {
	Name      string
	Default   string // ${NAME:-Default}
	Alternate string // ${NAME:+Alternate}
	Required  bool   // ${NAME:?}
}

// UnsetVariable is a variable without a value that a text asks for.
type UnsetVariable struct {
	Name    string
	Expr    string // as it is written
	Offset  int    // in the text
	Leading bool   // nothing of the outcome stands before it
	At      spec.Place
}

// badExpression is an expression that cannot be filled in.
type badExpression struct {
	Expr     string
	Offset   int
	Message  string
	Hint     string
	Required bool // a variable is missing that must be there; nothing is wrong with the expression
}

// Expand fills the variables of s in. It tells which had no value, and the
// first expression that is wrong.
func (v *Expander) Expand(s string) (string, []UnsetVariable, *badExpression) {
	e := expansion{vars: v}
	text := e.expand(s, 0, 0)
	return text, e.unset, e.bad
}

type expansion struct {
	vars  *Expander
	unset []UnsetVariable
	bad   *badExpression
}

func (e *expansion) fail(expr string, offset int, message, hint string) {
	if e.bad == nil {
		e.bad = &badExpression{Expr: expr, Offset: offset, Message: message, Hint: hint}
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
		case IsNameStart(next):
			size = 1 + nameLength(s[1:])
			b.WriteString(e.plain(s[1:size], s[:size], offset))
		default:
			b.WriteByte('$')
			size = 1
		}
		for ; unset < len(e.unset) && b.Len() == 0 && depth == 0; unset++ {
			e.unset[unset].Leading = true
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

// IsNameStart says that the name of a variable may begin with a character.
func IsNameStart(c byte) bool {
	return c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func nameLength(s string) int {
	n := 0
	for n < len(s) && (IsNameStart(s[n]) || n > 0 && '0' <= s[n] && s[n] <= '9') {
		n++
	}
	return n
}

// see tells of a variable, and of those in its argument, which may not be asked for.
func (e *expansion) see(use Use, argument string, depth int) {
	if e.vars.Seen == nil {
		return
	}
	e.vars.Seen(use)
	other := expansion{vars: e.vars}
	other.expand(argument, 0, depth)
}

func (e *expansion) plain(name, expr string, offset int) string {
	e.see(Use{Name: name}, "", 0)
	value, ok := e.vars.Lookup(name)
	if !ok {
		e.unset = append(e.unset, UnsetVariable{Name: name, Expr: expr, Offset: offset})
	}
	return value
}

// braced fills in one "${...}".
func (e *expansion) braced(expr string, offset, depth int) string {
	if depth >= MaxNesting {
		e.fail(expr, offset, fmt.Sprintf("variables are nested more than %d levels deep", MaxNesting), "")
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
	value, ok := e.vars.Lookup(name)
	present := ok && (value != "" || operator[0] != ':')
	switch operator[len(operator)-1] {
	case '-':
		if e.see(Use{Name: name, Default: argument}, argument, depth+1); present {
			return value
		}
		return e.expand(argument, at, depth+1)
	case '+':
		if e.see(Use{Name: name, Alternate: argument}, argument, depth+1); !present {
			return ""
		}
		return e.expand(argument, at, depth+1)
	default: // '?'
		if e.see(Use{Name: name, Required: true}, argument, depth+1); present {
			return value
		}
		e.required(name, expr, offset, e.expand(argument, at, depth+1))
		return ""
	}
}

func (e *expansion) required(name, expr string, offset int, reason string) {
	message := fmt.Sprintf("required variable %s is not set", name)
	if _, ok := e.vars.Lookup(name); ok {
		message = fmt.Sprintf("required variable %s is empty", name)
	}
	if reason != "" {
		message += ": " + reason
	}
	if e.fail(expr, offset, message, "set it in the environment or in .env"); e.bad.Offset == offset {
		e.bad.Required = true
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
