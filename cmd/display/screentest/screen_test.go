package screentest

import (
	"fmt"
	"strings"
	"testing"
)

func TestWhatIsOnTheScreen(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"lines":                    {"one\ntwo\n", "one|two|"},
		"a line that folds":        {"123456789012", "1234567890|12|"},
		"a full line folds late":   {"1234567890\nx", "1234567890|x|"},
		"more lines than rows":     {"1\n2\n3\n4", "2|3|4"},
		"back to the beginning":    {"abc\rx", "xbc||"},
		"a line that is rewritten": {"abc\r\x1b[Kx", "x||"},
		"a frame over another":     {"a\nb\n\x1b[2A\rc\x1b[K\n\x1b[J", "c||"},
		"up no farther than there": {"a\n\x1b[9Ab", "b||"},
		"colours and modes":        {"\x1b[?25l\x1b[1;31mred\x1b[0m\x1b[?25h", "red||"},
		"in several bytes":         {"日本✓", "日本✓||"},
	} {
		for _, cut := range []int{len(test.text), 1} { // whole, and byte by byte
			s := New(10, 3)
			for text := test.text; text != ""; text = text[min(cut, len(text)):] {
				if _, err := fmt.Fprint(s, text[:min(cut, len(text))]); err != nil {
					t.Fatal(err)
				}
			}
			if got := strings.Join(s.Rows(), "|"); got != test.want {
				t.Errorf("%s: %q, want %q", name, got, test.want)
			}
		}
	}
	s := New(10, 3)
	fmt.Fprint(s, "\x1b[2;36mx\x1b[0my")
	if got := s.Cells[0][0].Style; got != (Style{Color: 36, Dim: true}) || s.Cells[0][1].Style != (Style{}) {
		t.Errorf("painted as %+v, then %+v", got, s.Cells[0][1].Style)
	}
}

func TestWhatNoDisplayWritesIsRefused(t *testing.T) {
	for _, text := range []string{"\a", "\x1b[2J", "\x1b[5;5H", "\x1b]0;title\a", "\x1bc", "\t"} {
		if _, err := fmt.Fprint(New(10, 3), text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
