// Package plain parses YAML as nearly every stack file is written: mappings and lists by
// indentation, values of one line, blocks of text, anchors. It gives just the nodes that
// yaml.v3 gives (but for comments), in a tenth of its time. Text that holds anything
// else, mistakes among it, is left to yaml.v3: nothing is decided or complained of here.
package plain

import (
	"slices"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// maxDepth is how deep values may be nested; deeper ones are yaml.v3's.
const maxDepth = 64

// longestKey is how long a key may be: YAML ends at 1024 characters.
const longestKey = 1000

// Parse gives the document of a text; false if it is not as simple as this package
// knows.
func Parse(text []byte) (*yaml.Node, bool) {
	p := &parser{text: string(text), room: len(text) / 12}
	if p.isWide = slices.ContainsFunc(text, func(c byte) bool { return c >= utf8.RuneSelf }); !isKnown(p.text, p.isWide) {
		return nil, false
	}
	p.advance()
	if p.done {
		return nil, false
	}
	document := p.node(yaml.DocumentNode, p.line, p.indent)
	document.Content = []*yaml.Node{p.block(0)}
	if p.foreign || !p.done {
		return nil, false
	}
	return document, true
}

// isKnown says that a text has no characters that mean something to YAML and nothing
// here: tabs, returns, other ends of lines, what can't be printed.
func isKnown(text string, isWide bool) bool {
	for i := range len(text) {
		if c := text[i]; c != '\n' && (c < ' ' || c == 0x7f) {
			return false
		}
	}
	return !isWide || utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool {
		return r >= utf8.RuneSelf && (r < 0xa0 || r == 0x2028 || r == 0x2029 || r == 0xfeff || r == 0xfffe || r == 0xffff)
	})
}

// parser stands on a line that has content.
type parser struct {
	text    string
	next    int    // where the line after this one begins
	line    int    // number of this line, from 1 on
	indent  int    // how many blanks it begins with
	body    string // the rest of it
	whole   string // all of it
	isWide  bool   // characters of the text may have several bytes
	at      int    // a byte of this line; those of them before it are
	before  int    // as many characters
	counted int    // bytes that characters were counted in
	done    bool   // there is no more line, or foreign
	foreign bool   // the text holds what is not known here
	anchors map[string]*yaml.Node
	nodes   []yaml.Node // made in advance
	room    int         // how many may still come
}

// leave gives the text up.
func (p *parser) leave() *yaml.Node {
	p.foreign, p.done = true, true
	return &yaml.Node{}
}

// column is how many characters stand before the i-th byte of this line.
func (p *parser) column(i int) int {
	if !p.isWide {
		return i
	}
	if i < p.at {
		p.at, p.before = 0, 0
	}
	p.counted += i - p.at
	p.before += utf8.RuneCountInString(p.whole[p.at:i])
	p.at = i
	return p.before
}

// node is a new node at a place; columns count from 0 here.
func (p *parser) node(kind yaml.Kind, line, column int) *yaml.Node {
	if len(p.nodes) == 0 {
		p.nodes = make([]yaml.Node, max(16, min(512, p.room)))
		p.room -= len(p.nodes)
	}
	n := &p.nodes[0]
	p.nodes = p.nodes[1:]
	n.Kind, n.Line, n.Column = kind, line, column+1
	return n
}

// rawLine takes the next line as it is.
func (p *parser) rawLine() (string, bool) {
	if p.next >= len(p.text) {
		return "", false
	}
	line := p.text[p.next:]
	if end := strings.IndexByte(line, '\n'); end >= 0 {
		line = line[:end]
	}
	p.next += len(line) + 1
	p.line++
	return line, true
}

// advance goes to the next line with content.
func (p *parser) advance() {
	for !p.done {
		line, ok := p.rawLine()
		if !ok {
			p.done = true
			return
		}
		indent := 0
		for indent < len(line) && line[indent] == ' ' {
			indent++
		}
		if p.body = line[indent:]; p.body == "" || p.body[0] == '#' {
			continue
		}
		p.indent, p.whole, p.at, p.before = indent, line, 0, 0
		if indent == 0 && (p.body[0] == '%' || strings.HasPrefix(p.body, "---") || strings.HasPrefix(p.body, "...")) {
			p.leave()
		}
		return
	}
}

// isEntry says that a line is an entry of a list.
func isEntry(body string) bool { return body == "-" || strings.HasPrefix(body, "- ") }

// block parses the mapping or list that begins with this line.
func (p *parser) block(depth int) *yaml.Node {
	switch {
	case depth > maxDepth:
		return p.leave()
	case isEntry(p.body):
		return p.list(depth)
	}
	return p.mapping(depth)
}

func (p *parser) mapping(depth int) *yaml.Node {
	indent := p.indent
	out := p.node(yaml.MappingNode, p.line, indent)
	out.Tag = "!!map"
	for !p.done && p.indent == indent && !isEntry(p.body) {
		key, length := p.key(p.body, indent)
		if key == nil {
			return p.leave()
		}
		out.Content = append(out.Content, key, p.value(indent, length, depth))
	}
	if !p.done && p.indent > indent {
		return p.leave()
	}
	return out
}

// key parses the key that a text begins with, and its colon. It is nil if there is none.
func (p *parser) key(body string, column int) (key *yaml.Node, length int) {
	if body[0] == '"' || body[0] == '\'' {
		if key, length = p.quoted(body, column); key == nil {
			return nil, 0
		}
	} else {
		length = colon(body)
		if length <= 0 || length > longestKey || !beginsPlain(body) || body[length-1] == ' ' || strings.Contains(body[:length], " #") {
			return nil, 0
		}
		key = p.plain(body[:length], column)
	}
	if rest := body[length:]; length > longestKey || rest != ":" && !strings.HasPrefix(rest, ": ") {
		return nil, 0
	}
	return key, length + 1
}

// colon is where the colon stands that ends a key, or -1.
func colon(body string) int {
	for from := 0; ; {
		i := strings.IndexByte(body[from:], ':')
		if i < 0 {
			return -1
		}
		if i += from; i+1 == len(body) || body[i+1] == ' ' {
			return i
		}
		from = i + 1
	}
}

// value parses the value of a key of a mapping that stands at indent; at is where the
// key ends in the line.
func (p *parser) value(indent, at, depth int) *yaml.Node {
	line, column := p.line, p.column(p.indent+at)
	rest := strings.TrimLeft(p.body[at:], " ")
	begin := p.indent + len(p.body) - len(rest)
	if rest == "" || rest[0] == '#' {
		p.advance()
		switch {
		case !p.done && (p.indent > indent || p.indent == indent && isEntry(p.body)):
			return p.block(depth + 1)
		}
		return p.null(line, column)
	}
	if name, isAnchor := strings.CutPrefix(rest, "&"); isAnchor && isName(strings.TrimRight(name, " ")) {
		return p.anchored(strings.TrimRight(name, " "), indent, begin, depth)
	}
	return p.oneLine(rest, indent, begin, depth)
}

// anchored parses a mapping or list that has a name.
func (p *parser) anchored(name string, indent, at, depth int) *yaml.Node {
	line, column := p.line, p.column(at)
	if p.advance(); p.done || p.indent <= indent {
		return p.leave()
	}
	// The name is known to what stands inside, too.
	if p.anchors == nil {
		p.anchors = map[string]*yaml.Node{}
	}
	if _, again := p.anchors[name]; again {
		return p.leave()
	}
	p.anchors[name] = nil
	out := p.block(depth + 1)
	out.Anchor, out.Line, out.Column = name, line, column+1
	p.anchors[name] = out
	return out
}

func isName(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isAlphanumeric(c) && c != '-' && c != '_' {
			return false
		}
	}
	return s != ""
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// oneLine parses a value that begins in this line, and goes to the line after it.
func (p *parser) oneLine(rest string, indent, column, depth int) *yaml.Node {
	if rest[0] == '|' {
		return p.literal(rest, indent, column)
	}
	out, length := p.inline(rest, column, depth)
	if out == nil || !isRest(rest[length:]) {
		return p.leave()
	}
	if p.advance(); !p.done && p.indent > indent { // the value goes on, or something is wrong
		return p.leave()
	}
	return out
}

// isRest says that nothing more comes in a line.
func isRest(s string) bool {
	text := strings.TrimLeft(s, " ")
	return text == "" || text[0] == '#' && len(text) < len(s)
}

// null is the value of a key that has none.
func (p *parser) null(line, column int) *yaml.Node {
	out := p.node(yaml.ScalarNode, line, column)
	out.Tag = "!!null"
	return out
}

func (p *parser) list(depth int) *yaml.Node {
	indent := p.indent
	out := p.node(yaml.SequenceNode, p.line, indent)
	out.Tag = "!!seq"
	for !p.done && p.indent == indent && isEntry(p.body) {
		out.Content = append(out.Content, p.entry(indent, depth))
	}
	if !p.done && p.indent > indent {
		return p.leave()
	}
	return out
}

// entry parses what comes after a dash.
func (p *parser) entry(indent, depth int) *yaml.Node {
	line := p.line
	rest := strings.TrimLeft(p.body[1:], " ")
	column := indent + len(p.body) - len(rest)
	switch {
	case rest == "" || rest[0] == '#':
		if p.advance(); !p.done && p.indent > indent {
			return p.block(depth + 1)
		}
		return p.null(line, indent+1)
	case isEntry(rest) || depth >= maxDepth:
		return p.leave()
	case rest[0] != '[' && rest[0] != '{' && rest[0] != '|':
		if key, _ := p.key(rest, column); key != nil {
			p.indent, p.body = column, rest
			return p.mapping(depth + 1)
		}
	}
	return p.oneLine(rest, indent, column, depth)
}

// literal parses a block of text: "|" or "|-".
func (p *parser) literal(header string, indent, column int) *yaml.Node {
	header = strings.TrimRight(header, " ")
	if header != "|" && header != "|-" || !strings.HasSuffix(p.text, "\n") {
		return p.leave()
	}
	out := p.node(yaml.ScalarNode, p.line, p.column(column))
	out.Tag, out.Style = "!!str", yaml.LiteralStyle
	var lines []string
	margin := 0
	for {
		next, number := p.next, p.line
		line, ok := p.rawLine()
		text := strings.TrimLeft(line, " ")
		width := len(line) - len(text)
		switch {
		case ok && margin == 0:
			if margin = width; text == "" || margin <= indent {
				return p.leave()
			}
		case ok && text != "" && width < margin:
			ok, p.next, p.line = false, next, number // the next value's
		}
		if !ok {
			break
		}
		lines = append(lines, line[min(margin, len(line)):])
	}
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	if len(lines) == 0 {
		return p.leave()
	}
	if out.Value = strings.Join(lines, "\n"); header == "|" {
		out.Value += "\n"
	}
	if p.advance(); !p.done && p.indent > indent {
		return p.leave()
	}
	return out
}
