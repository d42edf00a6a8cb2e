package cmd

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/orlop/orlop/cmd/cli"
)

// TestMissingVerbsAreMissing holds docs/compose-verbs.md: what it says is not
// there must not be there, and who asks for it is told what to do.
func TestMissingVerbsAreMissing(t *testing.T) {
	text, err := os.ReadFile("../docs/compose-verbs.md")
	if err != nil {
		t.Fatal(err)
	}
	root := newApp(cli.World{Now: time.Now}).root()
	word, code := regexp.MustCompile("^ `([a-z-]+)` $"), regexp.MustCompile("`([^`]+)`")
	rows := 0
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) < 5 || !word.MatchString(cells[1]) {
			continue
		}
		rows++
		name := word.FindStringSubmatch(cells[1])[1]
		if verb, _, err := root.Find([]string{name}); err == nil && verb != root {
			t.Errorf("%s is there", name)
		}
		told := cli.MissingVerb(name)
		for _, f := range code.FindAllStringSubmatch(cells[3], -1) {
			for _, word := range strings.Fields(f[1]) {
				if !strings.Contains(told, word) {
					t.Errorf("without %s nobody is told of %s: %q", name, word, told)
				}
			}
		}
	}
	if rows == 0 {
		t.Errorf("%d rows were read", rows)
	}
}
