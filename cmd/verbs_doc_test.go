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
// there must not be there.
func TestMissingVerbsAreMissing(t *testing.T) {
	text, err := os.ReadFile("../docs/compose-verbs.md")
	if err != nil {
		t.Fatal(err)
	}
	root := newApp(cli.World{Now: time.Now}).root()
	word := regexp.MustCompile("`([a-z-]+)`")
	rows, flags := 0, false
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 || strings.HasPrefix(cells[1], "---") {
			continue
		}
		flags = flags || strings.Contains(cells[2], "flags that are not there")
		for _, m := range word.FindAllStringSubmatch(cells[1], -1) {
			rows++
			verb, _, err := root.Find([]string{m[1]})
			has := err == nil && verb != root
			if has != flags {
				t.Errorf("%s: is there: %t", m[1], has)
			}
			for _, f := range word.FindAllStringSubmatch(cells[2], -1) {
				name, isFlag := strings.CutPrefix(f[1], "--")
				if flags && isFlag && verb.Flags().Lookup(name) != nil {
					t.Errorf("%s --%s is there", m[1], name)
				}
			}
		}
	}
	if rows < 20 {
		t.Errorf("%d rows were read", rows)
	}
}
