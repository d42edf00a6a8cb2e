package spec

import (
	"strings"
	"testing"
)

// TestALongLineIsShownWhereItIsWrong: of a line of a megabyte a terminal gets what
// the mistake is about, and nothing that steers it.
func TestALongLineIsShownWhereItIsWrong(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for name, c := range map[string]struct {
		source        string
		column, width int
		line, marked  string // what is shown begins so, and what is underlined
	}{
		"at its beginning": {"key: " + long, 6, 1 << 20, "key: xxx", "xxx"},
		"far inside":       {long + "here" + long, 1<<20 + 1, 4, "…xxx", "here"},
		"at its end":       {long + "here", 1<<20 + 1, 4, "…xxx", "here"},
		"short":            {"key: here", 6, 4, "key: here", "here"},
		"with an escape":   {"key: \x1b[2Jhere", 10, 4, "key: \ufffd[2Jhere", "here"},
	} {
		var out strings.Builder
		d := Diagnostic{Place: Place{File: "f", Line: 7, Column: c.column}, Message: "is wrong", Source: c.source, Width: c.width}
		if err := (Diagnostics{d}).Render(&out, false); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(out.String(), "\n")
		shown, marks := []rune(lines[1][len("    7 | "):]), []rune(lines[2][len("      | "):])
		if !strings.HasPrefix(string(shown), c.line) || len(shown) > mostShown+2 || len(marks) > len(shown) {
			t.Errorf("%s: %d characters are shown, %d marks: %.40q", name, len(shown), len(marks), string(shown))
		}
		at := strings.IndexRune(string(marks), '^')
		if got := string(shown[at:len(marks)]); !strings.HasPrefix(got, c.marked) || !strings.HasPrefix(c.marked, got) && len(c.marked) == c.width {
			t.Errorf("%s: %q is marked, want %q", name, got, c.marked)
		}
		if strings.ContainsRune(out.String(), 0x1b) {
			t.Errorf("%s: it steers the terminal: %q", name, out.String())
		}
	}
}

// TestAMistakeIsReadAsItStands: what turns the direction of a text is not obeyed.
func TestAMistakeIsReadAsItStands(t *testing.T) {
	d := Diagnostic{Message: "unknown key \"a\u202etxt\"", Source: "    a\u202etxt: 1\u200b", Place: Place{File: "stack.yaml", Line: 3, Column: 5}}
	var out strings.Builder
	if err := (Diagnostics{d}).Render(&out, false); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsFunc(out.String(), IsUnseen) {
		t.Errorf("shown is %q", out.String())
	}
}
