package plain

import (
	"strings"

	"gopkg.in/yaml.v3"
)

// inline parses the value of one line that a text begins with, and tells how much of the
// text it is. It is nil if the value is not known here.
func (p *parser) inline(text string, column, depth int) (*yaml.Node, int) {
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
	case isAlphanumeric(c), strings.IndexByte("_./$(+~<=^;)\\", c) >= 0:
		return true
	case c == '-':
		return len(text) > 1 && text[1] != ' '
	}
	return false
}

// plain is a text without quotes.
func (p *parser) plain(value string, column int) *yaml.Node {
	out := p.node(yaml.ScalarNode, p.line, column)
	out.Value, out.Tag = value, "!!str"
	if c := value[0]; c == '/' || c == '$' || isAlphanumeric(c) && strings.IndexByte("0123456789yYnNtTfFoO", c) < 0 {
		return out
	}
	if out.Tag = "!!merge"; value != "<<" {
		out.Tag = (&yaml.Node{Kind: yaml.ScalarNode, Value: value}).ShortTag()
	}
	return out
}

// quoted parses a text in quotes. One with escapes is not known here.
func (p *parser) quoted(text string, column int) (*yaml.Node, int) {
	quote := text[0]
	style := yaml.SingleQuotedStyle
	if quote == '"' {
		style = yaml.DoubleQuotedStyle
	}
	end := 1 + strings.IndexByte(text[1:], quote)
	if end == 0 || style == yaml.DoubleQuotedStyle && strings.IndexByte(text[:end], '\\') >= 0 || strings.HasPrefix(text[end:], "''") {
		return nil, 0
	}
	out := p.node(yaml.ScalarNode, p.line, column)
	out.Value, out.Tag, out.Style = text[1:end], "!!str", style
	return out, end + 1
}

func (p *parser) alias(text string, column int) (*yaml.Node, int) {
	length := len(text)
	if i := strings.IndexByte(text, ' '); i >= 0 {
		length = i
	}
	named := p.anchors[text[1:length]]
	if named == nil {
		return nil, 0
	}
	out := p.node(yaml.AliasNode, p.line, column)
	out.Value, out.Alias = text[1:length], named
	return out, length
}

// flow parses a list or a mapping in brackets.
func (p *parser) flow(text string, column, depth int) (*yaml.Node, int) {
	if depth >= maxDepth {
		return nil, 0
	}
	kind, tag, closing := yaml.SequenceNode, "!!seq", byte(']')
	if text[0] == '{' {
		kind, tag, closing = yaml.MappingNode, "!!map", byte('}')
	}
	out := p.node(kind, p.line, column)
	out.Tag, out.Style = tag, yaml.FlowStyle
	at := 1 + blanks(text[1:])
	if at < len(text) && text[at] == closing {
		return out, at + 1
	}
	for at < len(text) {
		if kind == yaml.MappingNode {
			key, length := p.flowScalar(text[at:], column+at)
			if at += length; key == nil || length > longestKey || !strings.HasPrefix(text[at:], ": ") {
				return nil, 0
			}
			at += 1 + blanks(text[at+1:])
			out.Content = append(out.Content, key)
		}
		value, length := p.flowValue(text[at:], column+at, depth)
		if value == nil {
			return nil, 0
		}
		out.Content = append(out.Content, value)
		at += length
		at += blanks(text[at:])
		switch {
		case at < len(text) && text[at] == closing:
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

func (p *parser) flowValue(text string, column, depth int) (*yaml.Node, int) {
	if text == "" {
		return nil, 0
	}
	if text[0] == '[' || text[0] == '{' {
		return p.flow(text, column, depth+1)
	}
	return p.flowScalar(text, column)
}

// flowScalar parses a text that stands in brackets, with quotes or of few characters.
func (p *parser) flowScalar(text string, column int) (*yaml.Node, int) {
	if text == "" {
		return nil, 0
	}
	if text[0] == '"' || text[0] == '\'' {
		return p.quoted(text, column)
	}
	length := 0
	for length < len(text) && isFlowPlain(text, length) {
		length++
	}
	value := strings.TrimRight(text[:length], " ")
	if value == "" || !beginsPlain(value) {
		return nil, 0
	}
	return p.plain(value, column), len(value)
}

// isFlowPlain says that a text without quotes goes on with the i-th character. A colon is
// part of it only between two others of it.
func isFlowPlain(text string, i int) bool {
	c := text[i]
	if c == ':' {
		return i+1 < len(text) && text[i+1] != ':' && text[i+1] != ' ' && isFlowPlain(text, i+1)
	}
	return isAlphanumeric(c) || strings.IndexByte(" _./$+~=^;()\\-<@", c) >= 0
}
