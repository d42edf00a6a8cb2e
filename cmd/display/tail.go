package display

import (
	"bytes"
	"fmt"

	"github.com/orlop/orlop/api"
)

// tailBytes bounds how much of an output a Tail keeps.
const tailBytes = 64 << 10

// Tail keeps the last lines of an output, whole ones: a part of a line could be
// the rest of a secret.
type Tail struct {
	Most int // lines

	lines []string
	size  int             // of the lines, in bytes
	begun map[string]bool // container and stream -> its last line goes on
	rest  []byte          // of what was written, without an end yet
	long  bool            // what comes up to the end of the line belongs to one that is too long
	cut   bool            // there was more
}

// Add adds a line.
func (t *Tail) Add(line string) {
	t.lines = append(t.lines, line)
	t.size += len(line)
	t.bound()
}

func (t *Tail) bound() {
	for len(t.lines) > t.Most || t.size > tailBytes && len(t.lines) > 0 {
		t.size -= len(t.lines[0])
		t.lines, t.cut = t.lines[1:], true
	}
}

// Write adds what a program prints.
func (t *Tail) Write(b []byte) (int, error) {
	for line := range bytes.Lines(b) {
		t.rest = append(t.rest, line...)
		ended := line[len(line)-1] == '\n'
		if t.long = t.long || len(t.rest) > tailBytes; t.long {
			t.rest, t.cut = nil, true
		}
		if ended {
			if !t.long {
				t.Add(string(t.rest[:len(t.rest)-1]))
			}
			t.rest, t.long = nil, false
		}
	}
	return len(b), nil
}

// Piece adds a line of a log, or a part of one.
func (t *Tail) Piece(m *api.LogLine) {
	key := fmt.Sprint(m.ContainerId, m.Stderr)
	if last := len(t.lines) - 1; t.begun[key] && last >= 0 {
		t.lines[last] += string(m.Text)
		t.size += len(m.Text)
		t.bound()
	} else {
		t.Add(string(m.Text))
	}
	t.begun = map[string]bool{key: m.Partial} // what cuts in begins a line of its own
}

// Lines are the last lines.
func (t *Tail) Lines() []string {
	if len(t.rest) > 0 {
		return append(t.lines[:len(t.lines):len(t.lines)], string(t.rest))
	}
	return t.lines
}

// Marked are the last lines behind a mark where there were more, without the
// empty ones at the end.
func (t *Tail) Marked() []string {
	lines := t.Lines()
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	if t.cut {
		return append([]string{"..."}, lines...)
	}
	return lines
}
