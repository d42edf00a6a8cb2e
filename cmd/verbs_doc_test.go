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
	word, code := regexp.MustCompile("`([a-z-]+)`"), regexp.MustCompile("`([^`]+)`")
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
			for _, f := range code.FindAllStringSubmatch(cells[2], -1) {
				if text := cli.MissingVerb(m[1]); !flags && !strings.Contains(text, f[1]) {
					t.Errorf("without %s nobody is told of %s: %q", m[1], f[1], text)
				}
			}
			for _, f := range word.FindAllStringSubmatch(cells[2], -1) {
				name, isFlag := strings.CutPrefix(f[1], "--")
				switch {
				case !flags || !isFlag:
				case verb.Flags().Lookup(name) != nil:
					t.Errorf("%s --%s is there", m[1], name)
				case !strings.HasPrefix(cli.MissingFlag(m[1], name), "orlop has no "):
					t.Errorf("of %s --%s nobody is told that it is missing", m[1], name)
				}
			}
		}
	}
	if rows < 3 {
		t.Errorf("%d rows were read", rows)
	}
}
