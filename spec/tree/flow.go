package tree

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// flowFault is what is wrong with a list or a mapping in brackets. The YAML
// parser names the line of the token before it.
type flowFault struct {
	Line, Column int
	Width        int
	Hint         string
}

// FindFlowFault finds the first list or mapping in brackets that is not
// closed, or that holds brackets where only text in quotes may. It reads as
// little of YAML as that needs: it is asked only about files that the parser
// has refused for their brackets.
func FindFlowFault(text string) (flowFault, bool) {
	s := &flowScan{lines: strings.Split(text, "\n")}
	for s.row < len(s.lines) {
		if f, found := s.blockLine(); found {
			return f, true
		}
	}
	return flowFault{}, false
}

// flowScan is a place in a file; col counts bytes.
type flowScan struct {
	lines    []string
	row, col int
}

// rest is what is left of the line, without a comment's or a return's end.
func (s *flowScan) rest() string {
	if s.row >= len(s.lines) || s.col >= len(s.lines[s.row]) {
		return ""
	}
	return strings.TrimSuffix(s.lines[s.row][s.col:], "\r")
}

func (s *flowScan) nextLine() { s.row, s.col = s.row+1, 0 }

func (s *flowScan) blanks() {
	s.col += len(s.rest()) - len(strings.TrimLeft(s.rest(), " \t"))
}

func indentation(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }

// blockLine passes a line outside of brackets, with all that its value goes
// on for: quotes, a block of text, brackets.
func (s *flowScan) blockLine() (flowFault, bool) {
	s.blanks()
	for strings.HasPrefix(s.rest(), "- ") {
		s.col++
		s.blanks()
	}
	indent := s.col
	for {
		switch rest := s.rest(); {
		case rest == "" || rest[0] == '#':
			s.nextLine()
			return flowFault{}, false
		case rest[0] == '[' || rest[0] == '{':
			return s.flow(indentation(s.lines[s.row]))
		case rest[0] == '"' || rest[0] == '\'':
			s.quoted()
		case rest[0] == '|' || rest[0] == '>':
			s.blockText(indent)
			return flowFault{}, false
		case rest[0] == '&' || rest[0] == '!':
			word, _, _ := strings.Cut(rest, " ")
			s.col += len(word)
		default:
			if s.col += plainLength(rest); s.rest() == "" {
				s.nextLine()
				return flowFault{}, false
			}
		}
		if s.col++; strings.HasPrefix(s.rest(), ":") { // after quotes
			s.col++
		}
		s.blanks()
	}
}

// plainLength is the length of text without quotes up to the colon that ends a
// key; all of it where there is none.
func plainLength(text string) int {
	for i := range text {
		switch {
		case text[i] == ':' && (i+1 == len(text) || text[i+1] == ' ' || text[i+1] == '\t'):
			return i
		case text[i] == '#' && i > 0 && text[i-1] == ' ':
			return len(text)
		}
	}
	return len(text)
}

// quoted passes text in quotes, up to its last quote.
func (s *flowScan) quoted() {
	quote := s.rest()[0]
	for s.col++; s.row < len(s.lines); s.col++ {
		rest := s.rest()
		switch {
		case rest == "":
			s.row, s.col = s.row+1, -1
		case rest[0] == '\\' && quote == '"':
			s.col++
		case rest[0] == quote && quote == '\'' && strings.HasPrefix(rest, "''"):
			s.col++
		case rest[0] == quote:
			return
		}
	}
}

// blockText passes the lines of a block of text, which stand further right.
func (s *flowScan) blockText(indent int) {
	for s.nextLine(); s.row < len(s.lines); s.nextLine() {
		if line := s.lines[s.row]; strings.TrimSpace(line) != "" && indentation(line) <= indent {
			return
		}
	}
}

// flow passes brackets up to the last that closes them.
func (s *flowScan) flow(indent int) (flowFault, bool) {
	type bracket struct {
		row, col int
		closes   byte
	}
	var open []bracket
	unclosed := func() (flowFault, bool) {
		b := open[len(open)-1]
		at := s.lines[b.row][b.col]
		return flowFault{b.row + 1, utf8.RuneCountInString(s.lines[b.row][:b.col]) + 1, 1, fmt.Sprintf("close the %c with %c", at, b.closes)}, true
	}
	word := -1 // where the text without quotes begins that we are in
	for s.row < len(s.lines) {
		rest := s.rest()
		switch {
		case rest == "" || rest[0] == '#' && (s.col == 0 || strings.ContainsRune(" \t", rune(s.lines[s.row][s.col-1]))):
			s.nextLine()
			word = -1
			if begins := strings.TrimSpace(s.rest()); begins != "" && indentation(s.rest()) <= indent && !strings.ContainsAny(begins[:1], "]}#") {
				return unclosed()
			}
			continue
		case rest[0] == '[' || rest[0] == '{':
			if word >= 0 {
				return s.unquoted(word, open[0].closes)
			}
			open = append(open, bracket{s.row, s.col, rest[0] + 2}) // [ \ ] and { | }
		case rest[0] == ']' || rest[0] == '}':
			if rest[0] != open[len(open)-1].closes {
				return unclosed()
			}
			if open = open[:len(open)-1]; len(open) == 0 {
				s.nextLine()
				return flowFault{}, false
			}
			word = -1
		case rest[0] == ',' || rest[0] == ':' && (len(rest) == 1 || strings.ContainsRune(" \t", rune(rest[1]))):
			word = -1
		case word < 0 && (rest[0] == '"' || rest[0] == '\''):
			s.quoted()
		case word < 0 && rest[0] != ' ' && rest[0] != '\t':
			word = s.col
		}
		s.col++
	}
	return unclosed()
}

// unquoted is the fault of a word that begins at col and holds brackets.
func (s *flowScan) unquoted(col int, closes byte) (flowFault, bool) {
	line := s.lines[s.row]
	word := line[col:]
	from := strings.IndexAny(word, "[{")
	from += max(0, strings.IndexByte(word[from:], word[from]+2)+1)
	if end := strings.IndexAny(word[from:], ",]}"); end >= 0 {
		word = word[:from+end]
	}
	word = strings.TrimSpace(word)
	what := "text with brackets"
	if strings.Contains(word, "${") {
		what = "${...}"
	}
	return flowFault{
		s.row + 1, utf8.RuneCountInString(line[:col]) + 1, utf8.RuneCountInString(word),
		fmt.Sprintf("quote %s inside of %c %c: %q", what, closes-2, closes, word),
	}, true
}
