package spec

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/orlop/orlop/spec/userfile"
)

// Severity says whether a Diagnostic stops the load.
type Severity uint8

// Severities of a Diagnostic.
const (
	Error Severity = iota
	Warning
	Note // told only where somebody asks for all
)

// String is "error", "warning" or "note".
func (s Severity) String() string { return [...]string{"error", "warning", "note"}[s] }

// Diagnostic is one complaint about a stack file.
type Diagnostic struct {
	Severity Severity
	Path     string // path of the value in the canonical project, or ""
	Place    Place  // where to look; zero when no file says it
	Message  string // what is wrong
	Hint     string // what to do, or ""
	Source   string // the line of the file that Place names
	Width    int    // columns to underline, at least 1

	About Topic
}

// String is the diagnostic on one line: place, path, message, hint in parentheses.
func (d Diagnostic) String() string {
	text := d.head()
	if d.Hint != "" {
		text += " (" + d.Hint + ")"
	}
	return text
}

func (d Diagnostic) head() string {
	var b strings.Builder
	if d.Place.File != "" {
		b.WriteString(d.Place.String() + ": ")
	}
	if d.Severity != Error {
		b.WriteString(d.Severity.String() + ": ")
	}
	if d.Path != "" {
		b.WriteString(d.Path + ": ")
	}
	b.WriteString(d.Message)
	return b.String()
}

// String is "file:line:column".
func (p Place) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Diagnostics are all complaints of one load, sorted by place.
type Diagnostics []Diagnostic

// Errors are the diagnostics that stop the load.
func (ds Diagnostics) Errors() Diagnostics { return ds.only(Error) }

// Warnings are the diagnostics that do not stop the load.
func (ds Diagnostics) Warnings() Diagnostics { return ds.only(Warning) }

// Notes are the diagnostics about what has no effect.
func (ds Diagnostics) Notes() Diagnostics { return ds.only(Note) }

func (ds Diagnostics) only(s Severity) Diagnostics {
	var out Diagnostics
	for _, d := range ds {
		if d.Severity == s {
			out = append(out, d)
		}
	}
	return out
}

// Excuse has mistakes be warnings that are in services which matter to nobody now.
func (ds Diagnostics) Excuse(isIdle func(service string) bool) {
	for i := range ds {
		section, rest, _ := strings.Cut(ds[i].Path, ".")
		if name, _, _ := strings.Cut(rest, "."); section == "services" && isIdle(name) && ds[i].Severity == Error {
			ds[i].Severity = Warning
		}
	}
}

// Sourced fills in the lines that diagnostics speak of which were found after
// the load. dir is the directory that the load started from.
func (ds Diagnostics) Sourced(dir string) Diagnostics {
	out := slices.Clone(ds)
	for i := range out {
		d := &out[i]
		path := d.Place.File
		if d.Source != "" || path == "" {
			continue
		}
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		data, err := userfile.Read(path)
		if err != nil {
			continue // standard input, or gone since: the place says enough
		}
		if lines := strings.Split(string(data), "\n"); d.Place.Line >= 1 && d.Place.Line <= len(lines) {
			d.Source = lines[d.Place.Line-1]
		}
		d.Width = max(1, widthOf(d.Source, d.Place.Column))
	}
	return out
}

// widthOf is how many columns the value that begins at a column takes, as far
// as one line tells.
func widthOf(line string, column int) int {
	runes := []rune(line)
	if column < 1 || column > len(runes) {
		return 1
	}
	value, _, _ := strings.Cut(string(runes[column-1:]), " #")
	if strings.Contains(string(runes[:column-1]), "{") {
		if end := strings.IndexAny(value, ",} "); end >= 0 {
			value = value[:end]
		}
	}
	return utf8.RuneCountInString(strings.TrimSpace(value))
}

// Render writes each diagnostic with its line of the file and a caret, and at
// the end how many mistakes there are. Color adds ANSI colours.
func (ds Diagnostics) Render(w io.Writer, color bool) error {
	out := bufio.NewWriter(w)
	for _, d := range ds {
		d.render(out, color)
	}
	if summary := ds.summary(); summary != "" {
		fmt.Fprintln(out, summary)
	}
	return out.Flush()
}

func (d Diagnostic) render(w io.Writer, color bool) {
	const bold, red, yellow, dim, plain = "\x1b[1m", "\x1b[31m", "\x1b[33m", "\x1b[2m", "\x1b[0m"
	paint := func(code, s string) string {
		if !color || s == "" {
			return s
		}
		return code + s + plain
	}
	accent := red
	if d.Severity != Error {
		accent = yellow
	}
	if d.Source == "" {
		fmt.Fprintln(w, paint(bold, inert(d.String())))
		return
	}
	fmt.Fprintln(w, paint(bold, inert(d.head())))
	line, column := excerpt(inert(strings.TrimRight(d.Source, " \t\r")), d.Place.Column)
	fmt.Fprintf(w, "%s %s\n", paint(dim, fmt.Sprintf("%5d |", d.Place.Line)), line)
	fmt.Fprintf(w, "%s %s%s", paint(dim, "      |"), indent(line, column), paint(accent, d.underline(line, column)))
	if d.Hint != "" {
		fmt.Fprint(w, " "+d.Hint)
	}
	fmt.Fprintln(w)
}

// mostShown is how many characters of a line are shown, and beforeShown how many of
// them stand before what it is about, where the line has more.
const (
	mostShown   = 160
	beforeShown = 60
)

// excerpt is the part of a long line around a column, and where that is in it.
func excerpt(line string, column int) (string, int) {
	runes := []rune(line)
	if len(runes) <= mostShown || column > len(runes) {
		return line, column
	}
	from := 0
	if column > mostShown-beforeShown {
		from = column - beforeShown
	}
	to := min(len(runes), from+mostShown)
	shown := string(runes[from:to])
	if from > 0 {
		shown, column = "…"+shown, column-from+1
	}
	if to < len(runes) {
		shown += "…"
	}
	return shown, column
}

// IsUnseen says of a character that it is not seen where it stands: it has no width, or
// steers the direction in which the text around it is read.
func IsUnseen(r rune) bool { return unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) }

// inert is a text of a file without what would steer the terminal that shows it, or the
// eye that reads it.
func inert(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\t' && r != '\n' || IsUnseen(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// indent is white space as wide as what precedes the column; tabs stay tabs,
// so that the caret stands below its text.
func indent(line string, column int) string {
	var b strings.Builder
	for _, r := range line {
		if column--; column < 1 {
			break
		}
		if r == '\t' {
			b.WriteByte('\t')
		} else {
			b.WriteByte(' ')
		}
	}
	return b.String()
}

func (d Diagnostic) underline(line string, column int) string {
	room := utf8.RuneCountInString(strings.TrimSuffix(line, "…")) - column + 1
	return strings.Repeat("^", max(1, min(d.Width, room)))
}

// summary counts the mistakes: "2 mistakes in stack.yaml; nothing was changed".
func (ds Diagnostics) summary() string {
	errors := ds.Errors()
	if len(errors) == 0 {
		return ""
	}
	var files []string
	for _, d := range errors {
		if f := d.Place.File; f != "" && !slices.Contains(files, f) {
			files = append(files, f)
		}
	}
	text := Plural(len(errors), "mistake")
	if len(files) > 0 {
		text += " in " + strings.Join(files, ", ")
	}
	return text + "; nothing was changed"
}

// Mistakes is the error of a load that found mistakes in the stack files.
type Mistakes struct {
	Diagnostics Diagnostics // warnings included
	Project     string      // its name, as far as it can be told; else ""
}

// Error lists the mistakes, one a line.
func (m *Mistakes) Error() string {
	var lines []string
	for _, d := range m.Diagnostics.Errors() {
		lines = append(lines, d.String())
	}
	return strings.Join(lines, "\n")
}

// Sorted orders diagnostics by file (in the order that they were read), line
// and column, and drops repetitions: an anchor used twice complains once.
func (ds Diagnostics) Sorted(order []string) Diagnostics {
	rank := make(map[string]int, len(order))
	for i, f := range order {
		rank[f] = i + 1
	}
	slices.SortStableFunc(ds, func(a, b Diagnostic) int {
		return cmp.Or(
			cmp.Compare(rank[a.Place.File], rank[b.Place.File]),
			cmp.Compare(a.Place.File, b.Place.File),
			cmp.Compare(a.Place.Line, b.Place.Line),
			cmp.Compare(a.Place.Column, b.Place.Column),
			cmp.Compare(a.Path, b.Path),
		)
	})
	type identity struct {
		place   Place
		message string
	}
	seen := make(map[identity]bool, len(ds))
	var out Diagnostics
	for _, d := range ds {
		id := identity{d.Place, d.Message}
		if d.Place.File == "" {
			id.message = d.String()
		}
		if !seen[id] {
			seen[id] = true
			out = append(out, d)
		}
	}
	return out
}

// Nearest is the candidate that a misspelt word most likely means, or "".
func Nearest(word string, candidates []string) string {
	best, least := "", min(len(word), 1+max(1, min(3, len(word)/3)))
	for _, c := range candidates {
		if d := distance(word, c); d < least {
			best, least = c, d
		}
	}
	return best
}

// DidYouMean is the hint for a misspelt word, or "".
func DidYouMean(word string, candidates []string) string {
	if best := Nearest(word, candidates); best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	return ""
}

// distance is the number of edits (insert, delete, replace, swap neighbours)
// between two words.
func distance(a, b string) int {
	if abs(len(a)-len(b)) > 3 || len(a) > 64 {
		return 99
	}
	before, previous, current := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := 1; i <= len(a); i++ {
		current[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			current[j] = min(previous[j]+1, current[j-1]+1, previous[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				current[j] = min(current[j], before[j-2]+1)
			}
		}
		before, previous, current = previous, current, before
	}
	return previous[len(b)]
}

func abs(n int) int { return max(n, -n) }

// Shorten is a text of the user as far as a message has room for it.
func Shorten(s string) string {
	if len(s) <= 40 {
		return s
	}
	cut := 37
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "..."
}
