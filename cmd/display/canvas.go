package display

import (
	"fmt"
	"io"
	"strings"
)

// Canvas is a part of a terminal that is redrawn in place: each frame is written
// at once, over the one before.
type Canvas struct {
	w     io.Writer
	drawn []int // widths of the lines on the screen
}

// NewCanvas draws on a terminal.
func NewCanvas(w io.Writer) *Canvas { return &Canvas{w: w} }

// Draw replaces what is on the screen, in one write. Nothing over nothing writes nothing: a program's own output may come next.
func (c *Canvas) Draw(lines []string, columns int) {
	if len(lines)+len(c.drawn) == 0 {
		return
	}
	var b strings.Builder
	b.WriteString("\x1b[?2026h\x1b[?25l")
	if up := c.rows(columns); up > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\r", up)
	}
	c.drawn = c.drawn[:0]
	for _, l := range lines {
		b.WriteString(l + "\x1b[K\n")
		c.drawn = append(c.drawn, visible(l))
	}
	b.WriteString("\x1b[J\x1b[?25h\x1b[?2026l")
	_, _ = io.WriteString(c.w, b.String())
}

// rows is how many rows the last frame takes: lines that were as wide as the
// terminal fold when it is made narrower.
func (c *Canvas) rows(columns int) int {
	rows := 0
	for _, width := range c.drawn {
		rows += max(1, (width+columns-1)/columns)
	}
	return rows
}
