package display

import (
	"bytes"
	"io"
	"text/tabwriter"
)

// Table sets lines in columns, and writes them at once: by the time a reader leaves that wants no more of them, such as "grep -q", it has
// them all, and a pipeline of a shell with pipefail does not fail for it.
type Table struct {
	*tabwriter.Writer
	lines bytes.Buffer
	to    io.Writer
}

// NewTable is a table that Flush writes.
func NewTable(to io.Writer) *Table {
	t := &Table{to: to}
	t.Writer = tabwriter.NewWriter(&t.lines, 0, 0, 3, ' ', 0)
	return t
}

// Flush writes the lines.
func (t *Table) Flush() error {
	if err := t.Writer.Flush(); err != nil {
		return err
	}
	_, err := t.lines.WriteTo(t.to)
	return err
}
