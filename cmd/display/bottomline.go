package display

import (
	"bytes"
	"io"
	"sync"
)

// BottomLine keeps one line below everything that is written to a terminal.
type BottomLine struct {
	tty io.Writer

	mu    sync.Mutex // guards what follows, and has one write after another
	text  string
	shown bool
	open  bool // the last line that was written has not ended yet
}

// Set changes the text; an empty one takes the line away.
func (b *BottomLine) Set(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = text
	_, _ = b.tty.Write(b.around(nil))
}

// above writes to a stream of the same terminal, above the line.
func (b *BottomLine) above(to io.Writer, text []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, err := to.Write(b.around(text))
	return err
}

// around is a text with what removes the line before it and draws it after.
// The caller holds mu.
func (b *BottomLine) around(text []byte) []byte {
	var out bytes.Buffer
	if b.shown {
		out.WriteString("\r\x1b[K")
	}
	out.Write(text)
	if len(text) > 0 {
		b.open = text[len(text)-1] != '\n'
	}
	if b.shown = b.text != "" && !b.open; b.shown {
		columns, _ := Size(b.tty)
		out.WriteString(Clip(b.text, columns-1) + "\x1b[0m")
	}
	return out.Bytes()
}
