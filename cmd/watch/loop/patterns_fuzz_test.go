package loop

import (
	"path"
	"strings"
	"testing"
)

// FuzzPatterns holds what a walk goes by: what is skipped is matched, and what
// is below a directory that no pattern reaches into is not matched.
func FuzzPatterns(f *testing.F) {
	for _, s := range []string{"node_modules", "**/*.go\n!a/b.go", "a/**/c", "/x/", "*", "!*", "[a-", "a\\", "**", "../x", "a//b", "[!a]?"} {
		f.Add(s, "a/b/c.go")
		f.Add(s, "node_modules/x")
	}
	f.Fuzz(func(t *testing.T, text, file string) {
		file = path.Clean(strings.TrimLeft(file, "/"))
		if len(text) > 2000 || len(file) > 300 || file == "." || strings.HasPrefix(file, "..") {
			t.Skip()
		}
		var list []string
		for _, line := range strings.Split(text, "\n") {
			if line = strings.TrimSpace(line); line != "" {
				list = append(list, line)
			}
		}
		p, err := newPatterns(list)
		if err != nil {
			return
		}
		dir := path.Dir(file)
		if p.skips(dir) && !p.match(file) {
			t.Errorf("%q: %s is skipped, and %s in it is not matched", list, dir, file)
		}
		if dir != "." && p != nil && !p.reaches(dir) && p.match(file) {
			t.Errorf("%q: nothing is matched in %s, but %s", list, dir, file)
		}
	})
}

// FuzzGitIgnore holds that no line of a .gitignore panics, or matches nothing
// that has a name.
func FuzzGitIgnore(f *testing.F) {
	for _, s := range []string{"*.o", "!a", "/x/", "a/**/b", "[a-z]*", "\\#", "\\ ", "**/", "[", "[]", "[!]]", "a\\"} {
		f.Add(s, "a/x.o")
	}
	f.Fuzz(func(_ *testing.T, line, file string) {
		if len(line) > 2000 {
			return
		}
		for _, p := range gitPatterns(line) {
			p.match.MatchString(file)
		}
	})
}
