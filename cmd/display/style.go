package display

import (
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"golang.org/x/term"

	"github.com/orlop/orlop/spec"
)

// Style paints text, or leaves it as it is.
type Style struct{ Color bool }

func (s Style) paint(code, text string) string {
	if !s.Color || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// Red, Green, Yellow, Cyan, Dim and Bold paint a text.
func (s Style) Red(t string) string    { return s.paint("31", t) }
func (s Style) Green(t string) string  { return s.paint("32", t) }
func (s Style) Yellow(t string) string { return s.paint("33", t) }
func (s Style) Cyan(t string) string   { return s.paint("36", t) }
func (s Style) Dim(t string) string    { return s.paint("2", t) }
func (s Style) Bold(t string) string   { return s.paint("1", t) }

// IsTerminal says whether a stream of the caller is a terminal.
func IsTerminal(stream any) bool {
	f := fileOf(stream)
	return f != nil && term.IsTerminal(int(f.Fd()))
}

// descriptor is a file, or what stands for one in a test.
type descriptor interface{ Fd() uintptr }

// fileOf is the file that a stream of the caller is in the end, or nil.
func fileOf(stream any) descriptor {
	switch s := stream.(type) {
	case interface{ Unwrap() io.Writer }:
		return fileOf(s.Unwrap())
	case descriptor:
		return s
	}
	return nil
}

// Size is the size of a terminal in characters.
func Size(w io.Writer) (columns, rows int) {
	if f := fileOf(w); f != nil {
		if columns, rows, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 && rows > 0 {
			return columns, rows
		}
	}
	return 80, 24
}

// Seconds is a time span in a sentence, in the unit that reads best.
func Seconds(d time.Duration) string {
	switch {
	case d < 95*time.Millisecond:
		return fmt.Sprintf("%.2f s", d.Seconds())
	case d < 100*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	d = d.Round(time.Second)
	return fmt.Sprintf("%d min %d s", d/time.Minute, d%time.Minute/time.Second)
}

// Clock is a time span in a column.
func Clock(d time.Duration) string {
	if d < 100*time.Second {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	d = d.Round(time.Second)
	return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
}

// Bytes is a number of bytes in decimal units.
func Bytes(n int64) string {
	value, unit := float64(n), 0
	units := []string{"B", "kB", "MB", "GB", "TB"}
	for value >= 1000 && unit < len(units)-1 {
		value /= 1000
		unit++
	}
	if unit == 0 || value >= 100 {
		return fmt.Sprintf("%.0f %s", value, units[unit])
	}
	return fmt.Sprintf("%.1f %s", value, units[unit])
}

// steering are sequences by which a program steers a terminal: colours, moves
// of the cursor, titles.
var steering = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile("\x1b(\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]*(\x07|\x1b\\\\)?|[@-Z\\\\-_])")
})

// Printable is text that a container or a build chose, without what would steer
// the terminal that it is shown on. What is not seen, or turns the text around it, is
// written out: \u202e.
func Printable(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return unicode.IsControl(r) || spec.IsUnseen(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range steering().ReplaceAllString(s, "") {
		switch {
		case unicode.IsControl(r):
			b.WriteByte(' ')
		case spec.IsUnseen(r):
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// PrintableLines is Printable of text that has lines.
func PrintableLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = Printable(lines[i])
	}
	return strings.Join(lines, "\n")
}

// Lines ends each of the words as a line.
func Lines(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return strings.Join(words, "\n") + "\n"
}

// Took is a time span in the unit that reads best.
func Took(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", max(1, d.Round(time.Millisecond).Milliseconds()))
	}
	return Seconds(d)
}
