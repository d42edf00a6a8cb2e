package display

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/orlop/orlop/api"
)

func TestATailKeepsTheLastWholeLines(t *testing.T) {
	long := strings.Repeat("x", tailBytes+1)
	for name, test := range map[string]struct {
		writes []string
		want   []string
	}{
		"nothing":                      {nil, nil},
		"few":                          {[]string{"a\nb\n"}, []string{"a", "b"}},
		"in pieces":                    {[]string{"a", "b\nc", "d"}, []string{"ab", "cd"}},
		"more lines than are kept":     {[]string{"1\n2\n3\n4\n5\n"}, []string{"...", "3", "4", "5"}},
		"a line that is too long":      {[]string{"a\n", long, long + "\n", "b\n"}, []string{"...", "a", "b"}},
		"one that has no end":          {[]string{"a\n", long}, []string{"...", "a"}},
		"lines that are much together": {[]string{long[:40_000] + "\n", long[:30_000] + "\n", "c\n"}, []string{"...", long[:30_000], "c"}},
		"empty lines at the end":       {[]string{"a\n\n\n"}, []string{"a"}},
	} {
		tail := Tail{Most: 3}
		for _, w := range test.writes {
			fmt.Fprint(&tail, w)
		}
		if got := tail.Marked(); !slices.Equal(got, test.want) {
			t.Errorf("%s: %.80q, want %.80q", name, got, test.want)
		}
	}
}

func TestATailJoinsTheParts(t *testing.T) {
	tail := Tail{Most: 3}
	for _, l := range []*api.LogLine{
		{ContainerId: "a", Text: []byte("one "), Partial: true}, {ContainerId: "a", Text: []byte("line")},
		{ContainerId: "a", Text: []byte("half"), Partial: true}, {ContainerId: "b", Text: []byte("cuts in")}, {ContainerId: "a", Text: []byte("rest")},
	} {
		tail.Piece(l)
	}
	if got, want := strings.Join(tail.Lines(), "|"), "half|cuts in|rest"; got != want {
		t.Errorf("the lines are %s, want %s", got, want)
	}
}
