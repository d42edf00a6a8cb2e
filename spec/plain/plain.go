// Package plain parses YAML as nearly every stack file is written: mappings and lists by
// indentation, values of one line, blocks of text, anchors. It gives just the trees that
// come of yaml.v3's nodes, in a tenth of the time. Text that holds anything
// else, mistakes among it, is left to yaml.v3: nothing is decided or complained of here.
package plain

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/tree"
)

// maxDepth is how deep values may be nested; deeper ones are yaml.v3's.
const maxDepth = 64

// longestKey is how long a key may be: YAML ends at 1024 characters.
const longestKey = 1000

// Document is one document of a file as it is written: with aliases, merge keys and keys
// that are no text, and without the values of its variables.
type Document struct {
	Root       *tree.Node
	HasAliases bool // a value may stand at several places
}

// Parse gives the document of a text, of a file; false if it is not as simple as this
// package knows.
func Parse(file string, text []byte) (Document, bool) {
	p := &parser{file: file, text: string(text), room: len(text) / 24}
	isKnown := false
	if p.isWide, isKnown = look(p.text); !isKnown {
		return Document{}, false
	}
	p.advance()
	if p.done {
		return Document{}, false
	}
	root := p.block(0)
	if p.foreign || !p.done {
		return Document{}, false
	}
	return Document{root, p.hasAliases}, true
}

// look says whether characters of a text have several bytes, and that it has none that mean
// something to YAML and nothing here: tabs, returns, other ends of lines, what can't be
// printed.
func look(text string) (isWide, isKnown bool) {
	for i := range len(text) {
		switch c := text[i]; {
		case c > ' ' && c < 0x7f, c == ' ', c == '\n': // nearly all
		case c >= utf8.RuneSelf:
			isWide = true
		default:
			return false, false
		}
	}
	return isWide, !isWide || utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool {
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
	anchors map[string]*tree.Node

	hasAliases bool
	file       string
	nodes      []tree.Node // made in advance
	room       int         // how many may still come
	fields     []tree.Field
	items      []*tree.Node // of the mappings and lists that are not at their end
	spare      []tree.Field // made in advance
}

// leave gives the text up.
func (p *parser) leave() *tree.Node {
	p.foreign, p.done = true, true
	return &tree.Node{}
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

// width is how many characters a text has.
func (p *parser) width(text string) int {
	if !p.isWide {
		return len(text)
	}
	return utf8.RuneCountInString(text)
}

// place is that of a column of a line; columns count from 0 here.
func (p *parser) place(line, column int) spec.Place {
	return spec.Place{File: p.file, Line: line, Column: column + 1}
}

// node is a new node at a place.
func (p *parser) node(kind tree.NodeKind, line, column int) *tree.Node {
	if len(p.nodes) == 0 {
		p.nodes = make([]tree.Node, max(16, min(512, p.room)))
		p.room -= len(p.nodes)
	}
	n := &p.nodes[0]
	p.nodes = p.nodes[1:]
	n.Kind, n.At, n.Width = kind, p.place(line, column), 1
	return n
}

// fieldsFrom are the fields from the i-th on, which are at their end.
func (p *parser) fieldsFrom(i int) []tree.Field {
	count := len(p.fields) - i
	if count > len(p.spare) {
		p.spare = make([]tree.Field, max(count, min(512, p.room)))
	}
	out := p.spare[:count:count]
	p.spare = p.spare[count:]
	copy(out, p.fields[i:])
	p.fields = p.fields[:i]
	return out
}

// itemsFrom are the items from the i-th on, which are at their end.
func (p *parser) itemsFrom(i int) []*tree.Node {
	out := slices.Clone(p.items[i:])
	p.items = p.items[:i]
	return out
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
func (p *parser) block(depth int) *tree.Node {
	switch {
	case depth > maxDepth:
		return p.leave()
	case isEntry(p.body):
		return p.list(depth)
	}
	return p.mapping(depth)
}

func (p *parser) mapping(depth int) *tree.Node {
	indent, first := p.indent, len(p.fields)
	out := p.node(tree.MapNode, p.line, indent)
	for !p.done && p.indent == indent && !isEntry(p.body) {
		k, ok := p.key(p.body, indent)
		if !ok {
			return p.leave()
		}
		p.fields = append(p.fields, k.field(p.value(indent, k.length, depth)))
	}
	if !p.done && p.indent > indent {
		return p.leave()
	}
	out.Fields = p.fieldsFrom(first)
	return out
}

// key is a key of a mapping as it is written.
type key struct {
	text, tag string
	isQuoted  bool
	at        spec.Place
	width     int
	length    int // with its colon
}

// field is the field of the key with a value.
func (k *key) field(value *tree.Node) tree.Field {
	switch k.tag {
	case "!!str":
	case "!!merge":
		value = value.Merged()
	default:
		value = value.Odd(&tree.Node{Kind: tree.ScalarNode, Tag: k.tag, Text: k.text, At: k.at, Width: k.width})
	}
	return tree.Field{Key: k.text, At: k.at, Width: k.width, Value: value}
}

// key parses the key that a text begins with, and its colon.
func (p *parser) key(body string, column int) (k key, ok bool) {
	if body[0] == '"' || body[0] == '\'' {
		if k.text, k.length = quoted(body); k.length == 0 {
			return k, false
		}
		k.tag, k.isQuoted = "!!str", true
	} else {
		k.length = colon(body)
		if k.length <= 0 || k.length > longestKey || !beginsPlain(body) || body[k.length-1] == ' ' || strings.Contains(body[:k.length], " #") {
			return k, false
		}
		k.text = body[:k.length]
		k.tag = tagOf(k.text)
	}
	if rest := body[k.length:]; k.length > longestKey || rest != ":" && !strings.HasPrefix(rest, ": ") {
		return k, false
	}
	p.placeKey(&k, column)
	k.length++
	return k, true
}

// placeKey notes where a key stands.
func (p *parser) placeKey(k *key, column int) {
	k.at, k.width = p.place(p.line, p.column(column)), p.width(k.text)
	if k.isQuoted {
		k.width += 2
	}
	k.width = max(1, k.width)
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
func (p *parser) value(indent, at, depth int) *tree.Node {
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
func (p *parser) anchored(name string, indent, at, depth int) *tree.Node {
	line, column := p.line, p.column(at)
	if p.advance(); p.done || p.indent <= indent {
		return p.leave()
	}
	// The name is known to what stands inside, too.
	if p.anchors == nil {
		p.anchors = map[string]*tree.Node{}
	}
	if _, again := p.anchors[name]; again {
		return p.leave()
	}
	p.anchors[name] = nil
	out := p.block(depth + 1)
	out.At = p.place(line, column)
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
func (p *parser) oneLine(rest string, indent, column, depth int) *tree.Node {
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
func (p *parser) null(line, column int) *tree.Node {
	out := p.node(tree.NullNode, line, column)
	out.Tag = "!!null"
	return out
}

func (p *parser) list(depth int) *tree.Node {
	indent, first := p.indent, len(p.items)
	out := p.node(tree.ListNode, p.line, indent)
	for !p.done && p.indent == indent && isEntry(p.body) {
		p.items = append(p.items, p.entry(indent, depth))
	}
	if !p.done && p.indent > indent {
		return p.leave()
	}
	out.Items = p.itemsFrom(first)
	return out
}

// entry parses what comes after a dash.
func (p *parser) entry(indent, depth int) *tree.Node {
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
		if _, ok := p.key(rest, column); ok {
			p.indent, p.body = column, rest
			return p.mapping(depth + 1)
		}
	}
	return p.oneLine(rest, indent, column, depth)
}

// literal parses a block of text: "|" or "|-".
func (p *parser) literal(header string, indent, column int) *tree.Node {
	header = strings.TrimRight(header, " ")
	if header != "|" && header != "|-" || !strings.HasSuffix(p.text, "\n") {
		return p.leave()
	}
	out := p.node(tree.ScalarNode, p.line, p.column(column))
	out.Tag = "!!str"
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
	if out.Text = strings.Join(lines, "\n"); header == "|" {
		out.Text += "\n"
	}
	if p.advance(); !p.done && p.indent > indent {
		return p.leave()
	}
	return out
}
