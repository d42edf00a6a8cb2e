package builder

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzIgnoreFile holds that every ignore file is rules or a mistake with its line.
func FuzzIgnoreFile(f *testing.F) {
	for _, s := range []string{"*\n!Dockerfile", "a/**", "[", "#x\n\n!", "\\", "a\x00b", "**/**/**", "!", "/", ".."} {
		f.Add(s, "a/b")
	}
	f.Fuzz(func(t *testing.T, text, file string) {
		if len(text) > 4000 || len(file) > 300 {
			t.Skip()
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, ".dockerignore"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		rules, err := ignoreRules(dir, "")
		if err != nil || rules == nil {
			return
		}
		if _, err := rules.MatchesOrParentMatches(file); err != nil {
			t.Errorf("%q was taken, and %q can't be matched: %v", text, file, err)
		}
	})
}
