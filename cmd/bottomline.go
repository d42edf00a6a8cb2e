package cmd

import (
	"bytes"
	"io"
	"os"
	"sync"
)

// bottomLine keeps one line below everything that is written to a terminal.
type bottomLine struct {
	tty *os.File

	mu    sync.Mutex // guards what follows
	text  string
	shown bool
	open  bool // the last line that was written has not ended yet
}

// writer gives a stream to the same terminal that keeps clear of the line.
func (b *bottomLine) writer(to *os.File) io.Writer { return &aboveLine{to: to, line: b} }

// set changes the text; an empty one takes the line away.
func (b *bottomLine) set(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = text
	_, _ = b.tty.Write(b.around(nil))
}

// around is a text with what removes the line before it and draws it after.
// The caller holds mu.
func (b *bottomLine) around(text []byte) []byte {
	var out bytes.Buffer
	if b.shown {
		out.WriteString("\r\x1b[K")
	}
	out.Write(text)
	if len(text) > 0 {
		b.open = text[len(text)-1] != '\n'
	}
	if b.shown = b.text != "" && !b.open; b.shown {
		columns, _ := size(b.tty)
		out.WriteString(clip(b.text, columns-1) + "\x1b[0m")
	}
	return out.Bytes()
}

// aboveLine writes above the line. It is the terminal to who asks for it.
type aboveLine struct {
	to   *os.File
	line *bottomLine
}

// Fd is that of the terminal.
func (w *aboveLine) Fd() uintptr { return w.to.Fd() }

func (w *aboveLine) Write(text []byte) (int, error) {
	w.line.mu.Lock()
	defer w.line.mu.Unlock()
	if _, err := w.to.Write(w.line.around(text)); err != nil {
		return 0, err
	}
	return len(text), nil
}
