package plain

import (
	"strings"
	"unicode/utf8"

	"github.com/orlop/orlop/spec/tree"

	"gopkg.in/yaml.v3"
)

// inline parses the value of one line that a text begins with, and tells how much of the
// text it is. It is nil if the value is not known here.
func (p *parser) inline(text string, column, depth int) (*tree.Node, int) {
	switch text[0] {
	case '"', '\'':
		return p.quoted(text, column)
	case '[', '{':
		return p.flow(text, column, depth)
	case '*':
		return p.alias(text, column)
	}
	length := len(text)
	if i := strings.Index(text, " #"); i >= 0 {
		length = i
	}
	value := strings.TrimRight(text[:length], " ")
	if !beginsPlain(value) || colon(value) >= 0 {
		return nil, 0
	}
	return p.plain(value, column), length
}

// beginsPlain says that a text begins as one without quotes does.
func beginsPlain(text string) bool {
	switch c := text[0]; {
	case isAlphanumeric(c), c >= utf8.RuneSelf, strings.IndexByte("_./$(+~<=^;)\\", c) >= 0:
		return true
	case c == '-':
		return len(text) > 1 && text[1] != ' '
	}
	return false
}

// plain is a text without quotes.
func (p *parser) plain(value string, column int) *tree.Node {
	out := p.node(tree.ScalarNode, p.line, p.column(column))
	out.Text, out.Tag, out.Width = value, tagOf(value), p.width(value)
	if out.Tag == "!!null" {
		out.Kind = tree.NullNode
	}
	return out
}

// tagOf is the type that a text without quotes has for YAML.
func tagOf(value string) string {
	switch c := value[0]; {
	case isAlphanumeric(c) && c > '9':
		return wordTag(value)
	case c == '$', strings.IndexByte(value, '/') >= 0:
		return "!!str"
	case '1' <= c && c <= '9' && len(value) < 18 && strings.Trim(value, "0123456789") == "":
		return "!!int"
	case '0' <= c && c <= '9' && strings.ContainsFunc(value, isOfNoNumber):
		return "!!str"
	case value == "<<":
		return "!!merge"
	}
	return (&yaml.Node{Kind: yaml.ScalarNode, Value: value}).ShortTag()
}

// wordTag is the type of a text that begins with a letter.
func wordTag(value string) string {
	switch value {
	case "true", "True", "TRUE", "false", "False", "FALSE":
		return "!!bool"
	case "null", "Null", "NULL":
		return "!!null"
	}
	return "!!str"
}

// isOfNoNumber says that a character stands in no number and no date, whatever its base.
func isOfNoNumber(r rune) bool {
	return 'g' <= r && r <= 's' && r != 'o' || 'u' <= r && r <= 'w' || r == 'y' || r == '/' || r == ','
}

// quoted is the text in quotes that a text begins with, and its length with them; 0 if
// it is not known here, as one with escapes is not.
func quoted(text string) (string, int) {
	quote := text[0]
	end := 1 + strings.IndexByte(text[1:], quote)
	if end == 0 || quote == '"' && strings.IndexByte(text[:end], '\\') >= 0 || strings.HasPrefix(text[end:], "''") {
		return "", 0
	}
	return text[1:end], end + 1
}

// quoted is the value of a text in quotes.
func (p *parser) quoted(text string, column int) (*tree.Node, int) {
	value, length := quoted(text)
	if length == 0 {
		return nil, 0
	}
	out := p.node(tree.ScalarNode, p.line, p.column(column))
	out.Text, out.Tag, out.Width = value, "!!str", max(1, p.width(value))+2
	return out, length
}

func (p *parser) alias(text string, column int) (*tree.Node, int) {
	length := len(text)
	if i := strings.IndexByte(text, ' '); i >= 0 {
		length = i
	}
	named := p.anchors[text[1:length]]
	if named == nil {
		return nil, 0
	}
	out := p.node(tree.AliasNode, p.line, p.column(column))
	out.Text, out.Items = text[1:length], []*tree.Node{named}
	p.hasAliases = true
	return out, length
}

// flow parses a list or a mapping in brackets.
func (p *parser) flow(text string, column, depth int) (*tree.Node, int) {
	if depth >= maxDepth {
		return nil, 0
	}
	kind, closing := tree.ListNode, byte(']')
	if text[0] == '{' {
		kind, closing = tree.MapNode, '}'
	}
	out := p.node(kind, p.line, p.column(column))
	fields, items := len(p.fields), len(p.items)
	at := 1 + blanks(text[1:])
	for at < len(text) {
		if text[at] == closing && len(p.fields) == fields && len(p.items) == items {
			return out, at + 1
		}
		var k key
		if kind == tree.MapNode {
			ok := false
			if k, ok = p.flowKey(text[at:], column+at); !ok {
				return nil, 0
			}
			at += k.length
			at += blanks(text[at:])
		}
		value, length := p.flowValue(text[at:], column+at, depth)
		if value == nil {
			return nil, 0
		}
		if kind == tree.MapNode {
			p.fields = append(p.fields, k.field(value))
		} else {
			p.items = append(p.items, value)
		}
		at += length
		at += blanks(text[at:])
		switch {
		case at < len(text) && text[at] == closing:
			out.Fields, out.Items = p.fieldsFrom(fields), p.itemsFrom(items)
			return out, at + 1
		case at >= len(text) || text[at] != ',':
			return nil, 0
		}
		at++
		at += blanks(text[at:])
	}
	return nil, 0
}

func blanks(s string) int { return len(s) - len(strings.TrimLeft(s, " ")) }

func (p *parser) flowValue(text string, column, depth int) (*tree.Node, int) {
	if text == "" {
		return nil, 0
	}
	if text[0] == '[' || text[0] == '{' {
		return p.flow(text, column, depth+1)
	}
	return p.flowScalar(text, column)
}

// flowKey parses a key that stands in brackets, and its colon.
func (p *parser) flowKey(text string, column int) (k key, ok bool) {
	k.text, k.length, k.isQuoted = flowText(text)
	if k.length == 0 || k.length > longestKey || !strings.HasPrefix(text[k.length:], ": ") {
		return k, false
	}
	if k.tag = "!!str"; !k.isQuoted {
		k.tag = tagOf(k.text)
	}
	p.placeKey(&k, column)
	k.length++
	return k, true
}

// flowScalar parses a text that stands in brackets.
func (p *parser) flowScalar(text string, column int) (*tree.Node, int) {
	value, length, isQuoted := flowText(text)
	switch {
	case length == 0:
		return nil, 0
	case isQuoted:
		return p.quoted(text, column)
	}
	return p.plain(value, column), length
}

// flowText is the text that one in brackets begins with, with quotes or of few characters.
func flowText(text string) (value string, length int, isQuoted bool) {
	if text == "" {
		return "", 0, false
	}
	if text[0] == '"' || text[0] == '\'' {
		value, length = quoted(text)
		return value, length, true
	}
	for length < len(text) && isFlowPlain(text, length) {
		length++
	}
	value = strings.TrimRight(text[:length], " ")
	if value == "" || !beginsPlain(value) {
		return "", 0, false
	}
	return value, len(value), false
}

// isFlowPlain says that a text without quotes goes on with the i-th character. A colon is
// part of it only between two others of it.
func isFlowPlain(text string, i int) bool {
	c := text[i]
	if c == ':' {
		return i+1 < len(text) && text[i+1] != ':' && text[i+1] != ' ' && isFlowPlain(text, i+1)
	}
	return isAlphanumeric(c) || c >= utf8.RuneSelf || strings.IndexByte(" _./$+~=^;()\\-<@", c) >= 0
}
