package engine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMistakesInTheSettingsHaveALineAndNoWordOfGo(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"policy: {", ":1: it is no YAML: did not find expected node content"},
		{"policy:\n  forbd: [privileged]\n", ":2: unknown key forbd: docs/engine.md lists what there is"},
		{"policy:\n  forbid: 7\n", `:2: "7", and it must be a list`},
		{"address_pools:\n  a: b\n", ":2: this is a mapping, and it must be a list"},
		{"registries:\n  a: b\n", `:2: "b", and it must be a mapping`},
		{"registries: [a]\n", ":1: this is a list, and it must be a mapping"},
		{"registries:\n  a: {http: maybe}\n", `:2: "maybe", and it must be true or false`},
		{"security: [hardened]\n", ":1: this is a list, and it must be a text"},
		{"- a\n", ":1: this is a list, and it must be a mapping"},
		{"registries:\n  a: {htp: true}\n  b: {insecure: 3}\n", ":2: unknown key htp: docs/engine.md lists what there is\n" + `PATH:3: "3", and it must be true or false`},
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
