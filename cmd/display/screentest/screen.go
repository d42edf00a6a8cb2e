// Package screentest is a terminal for tests: it takes what a display writes
// and tells what a user would see. It knows the sequences that the displays
// use and refuses all others, so that a test fails where one is new.
package screentest

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Style is how a cell is painted: codes of SGR.
type Style struct {
	Color     int // 31 to 37, 91 to 97; 0 is the terminal's own
	Bold, Dim bool
}

// Cell is one place of the screen.
type Cell struct {
	Rune  rune
	Style Style
}

// Screen is a terminal. As a terminal's driver has it, a line feed begins a
// line.
type Screen struct {
	Width, Height int
	Cells         [][]Cell // rows

	x, y  int
	style Style
	rest  []byte // the beginning of a sequence or a character
}

// New is an empty screen.
func New(columns, rows int) *Screen {
	s := &Screen{}
	s.Resize(columns, rows)
	return s
}

// Resize changes the size. What is cut off is lost; nothing is folded anew.
func (s *Screen) Resize(columns, rows int) {
	old := s.Cells
	s.Width, s.Height, s.Cells = columns, rows, nil
	for y := range rows {
		row := s.empty()
		if y < len(old) {
			copy(row, old[y])
		}
		s.Cells = append(s.Cells, row)
	}
	s.x, s.y = min(s.x, columns), min(s.y, rows-1)
}

func (s *Screen) empty() []Cell {
	row := make([]Cell, s.Width)
	for x := range row {
		row[x].Rune = ' '
	}
	return row
}

// Rows are the rows of the screen, without the spaces at their ends.
func (s *Screen) Rows() []string {
	var rows []string
	for _, cells := range s.Cells {
		var b strings.Builder
		for _, c := range cells {
			b.WriteRune(c.Rune)
		}
		rows = append(rows, strings.TrimRight(b.String(), " "))
	}
	return rows
}

// Write takes what is written to the terminal.
func (s *Screen) Write(text []byte) (int, error) {
	b := append(s.rest, text...)
	for len(b) > 0 {
		n, err := s.take(b)
		if err != nil {
			return 0, err
		}
		if n == 0 {
			break // the rest comes with the next write
		}
		b = b[n:]
	}
	s.rest = bytes.Clone(b)
	return len(text), nil
}

// take takes one character or sequence and says how long it is; 0 if it is not
// whole.
func (s *Screen) take(b []byte) (int, error) {
	switch b[0] {
	case '\n':
		s.feed()
		return 1, nil
	case '\r':
		s.x = 0
		return 1, nil
	case '\x1b':
		return s.escape(b)
	}
	if b[0] < ' ' {
		return 0, fmt.Errorf("no display writes the control character %q", b[0])
	}
	if !utf8.FullRune(b) {
		return 0, nil
	}
	r, n := utf8.DecodeRune(b)
	if s.x == s.Width {
		s.feed()
	}
	s.Cells[s.y][s.x] = Cell{r, s.style}
	s.x++
	return n, nil
}

// feed begins the next line; at the bottom all lines move up.
func (s *Screen) feed() {
	s.x = 0
	if s.y++; s.y == s.Height {
		s.Cells = append(s.Cells[1:], s.empty())
		s.y--
	}
}

// escape takes a control sequence: ESC [ parameters letter (ECMA-48, 5.4).
func (s *Screen) escape(b []byte) (int, error) {
	if len(b) < 2 {
		return 0, nil
	}
	if b[1] != '[' {
		return 0, fmt.Errorf("no display writes the sequence %q", b[:2])
	}
	end := bytes.IndexFunc(b[2:], func(r rune) bool { return r >= '@' && r <= '~' })
	if end < 0 {
		return 0, nil
	}
	parameters, final := string(b[2:2+end]), b[2+end]
	number, _ := strconv.Atoi(parameters)
	switch {
	case final == 'A': // up
		s.y = max(0, s.y-max(1, number))
	case final == 'K' && number == 0: // erase to the end of the line
		s.erase(s.y, min(s.x, s.Width))
	case final == 'J' && number == 0: // erase to the end of the screen
		s.eraseBelow()
	case final == 'm':
		for p := range strings.SplitSeq(parameters, ";") {
			s.paint(p)
		}
	case strings.HasPrefix(parameters, "?") && (final == 'h' || final == 'l'): // modes: the cursor, synchronised output
	default:
		return 0, fmt.Errorf("no display writes the sequence %q", b[:3+end])
	}
	return 3 + end, nil
}

func (s *Screen) erase(y, from int) { copy(s.Cells[y][from:], s.empty()) }

func (s *Screen) eraseBelow() {
	s.erase(s.y, min(s.x, s.Width))
	for y := s.y + 1; y < s.Height; y++ {
		s.erase(y, 0)
	}
}

// Clear empties the screen, as a user does.
func (s *Screen) Clear() {
	s.x, s.y = 0, 0
	s.eraseBelow()
}

func (s *Screen) paint(code string) {
	switch n, _ := strconv.Atoi(code); {
	case n == 0:
		s.style = Style{}
	case n == 1:
		s.style.Bold = true
	case n == 2:
		s.style.Dim = true
	case n >= 30 && n <= 37, n >= 90 && n <= 97:
		s.style.Color = n
	}
}
