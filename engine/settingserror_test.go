package engine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMistakesInTheSettingsHaveALineAndNoWordOfGo(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"policy: {", ":1: not valid YAML: did not find expected node content"},
		{"policy:\n  forbd: [privileged]\n", ":2: unknown key forbd: docs/engine.md lists what there is"},
		{"policy:\n  forbid: 7\n", `:2: expected a list, not "7"`},
		{"address_pools:\n  a: b\n", ":2: expected a list, not a mapping"},
		{"registries:\n  a: b\n", `:2: expected a mapping, not "b"`},
		{"registries: [a]\n", ":1: expected a mapping, not a list"},
		{"registries:\n  a: {http: maybe}\n", `:2: expected true or false, not "maybe"`},
		{"security: [hardened]\n", ":1: expected a text, not a list"},
		{"- a\n", ":1: expected a mapping, not a list"},
		{"registries:\n  a: {htp: true}\n  b: {insecure: 3}\n", ":2: unknown key htp: docs/engine.md lists what there is\n" + `PATH:3: expected true or false, not "3"`},
	} {
		root := t.TempDir()
		path := filepath.Join(root, "engine.yaml")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := loadSettings(root)
		want := path + strings.ReplaceAll(c.want, "PATH", path)
		if err == nil || err.Error() != want {
			t.Errorf("%q\n got %v\nwant %s", c.text, err, want)
		}
	}
}
