package stackfile

import (
	"os"
	"path/filepath"
	"testing"
)

// TestTheVariablesOfAnIncludeAreNoted: what an include's environment files say lands in
// environments, as what an env_file says does.
//
// Risk path escape: an include, or one in an included file, takes its variables from the caller's home; a stack brings a .env that is a link
// Held: each is noted with its place, for config --security and an engine's policy
func TestTheVariablesOfAnIncludeAreNoted(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "p")
	for name, text := range map[string]string{
		"home/a": "A=1\n", "home/b": "B=1\n", "home/c": "C=1\n",
		"p/stack.yaml":    "include:\n  - {path: sub/inc.yaml, env_file: [../home/a, /dev/null, ../home/b]}\n  - other/inc.yaml\n  - {path: services.yaml, env_file: /dev/null}\nservices: {web: {image: x}}\n",
		"p/sub/inc.yaml":  "include: [{path: more.yaml, env_file: ../../home/c}]\n",
		"p/sub/more.yaml": "services: {more: {image: x}}\n",
		"p/services.yaml": "include: [{path: far.yaml, env_file: ../home/d}]\n", "home/d": "D=1\n", "p/far.yaml": "services: {far: {image: x}}\n",
		"p/other/inc.yaml": "services: {other: {image: x}}\n",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p, _, err := Load(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]struct {
		file  string
		place string
	}{
		"include[0].env_file[0]":                   {filepath.Join(root, "home/a"), "stack.yaml:2:37"},
		"include[0].env_file[2]":                   {filepath.Join(root, "home/b"), "stack.yaml:2:59"},
		"in sub/inc.yaml: include[0].env_file[0]":  {filepath.Join(root, "home/c"), "sub/inc.yaml:1:39"},
		"in services.yaml: include[0].env_file[0]": {filepath.Join(root, "home/d"), "services.yaml:1:38"}, // which is no place of a service
		"include[1].env_file":                      {filepath.Join(dir, "other/.env"), "stack.yaml:3:5"},
		".env":                                     {filepath.Join(dir, ".env"), ""},
	} {
		place := p.Places.Nearest(at)
		if p.ReadFiles[at] != want.file || want.place != "" && place.String() != want.place {
			t.Errorf("%s is %q at %v, want %q at %s", at, p.ReadFiles[at], place, want.file, want.place)
		}
	}
	if t.Failed() {
		t.Log(p.ReadFiles)
	}
}
