package display

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// namedLeftOut is how many resources a line about all that was left out names.
const namedLeftOut = 4

// leftOut tells of what was not begun, because something failed or the user
// interrupted: its own line if it is one, else one line for all.
func (b *Board) leftOut(m mark, now time.Time, width int, st Style) []string {
	var rows []*row
	for _, r := range b.rows {
		if r.mark == m && r.began.IsZero() {
			rows = append(rows, r)
		}
	}
	switch len(rows) {
	case 0:
		return nil
	case 1:
		return []string{b.line(rows[0], now, 0, width, st)}
	}
	var names, causes []string
	for _, r := range rows {
		names = append(names, r.name)
		if cause, ok := strings.CutPrefix(r.text, "skipped: waits for "); ok && !slices.Contains(causes, cause) {
			causes = append(causes, cause)
		}
	}
	word, text := "not begun", listed(names, namedLeftOut)
	if m == skipped {
		word = "skipped"
		if len(causes) > 0 {
			text += ": they wait for " + listed(causes, namedLeftOut)
		}
	}
	line := fmt.Sprintf(" %s %-9s %d  %s", rows[0].symbol(0, st), word, len(rows), Printable(text))
	return []string{Clip(line, width)}
}

// listed names the first of a list, and how many more there are.
func listed(names []string, most int) string {
	if len(names) <= most+1 {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
