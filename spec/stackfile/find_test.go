package stackfile

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAStackFileBesideAnotherIsTold(t *testing.T) {
	for _, c := range []struct{ files, want string }{
		{"stack.yaml compose.yaml", "compose.yaml is not read: stack.yaml is"},
		{"compose.yaml docker-compose.yml", "docker-compose.yml is not read: compose.yaml is"},
		{"compose.yml compose.yaml docker-compose.yml", "compose.yml, docker-compose.yml are not read: compose.yaml is"},
		{"compose.yaml compose.override.yaml", ""},
		{"stack.yaml", ""},
	} {
		dir := t.TempDir()
		for _, name := range strings.Fields(c.files) {
			if err := os.WriteFile(filepath.Join(dir, name), []byte("services: {a: {image: a}}\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		_, diagnostics, err := Load(context.Background(), Options{Dir: dir})
		var got []string
		for _, d := range diagnostics {
			got = append(got, d.Message)
		}
		if text := strings.Join(got, "\n"); err != nil || text != c.want {
			t.Errorf("%s: got %q, %v, want %q", c.files, text, err, c.want)
		}
		if _, diagnostics, _ := Load(context.Background(), Options{Files: []string{filepath.Join(dir, strings.Fields(c.files)[0])}}); len(diagnostics) > 0 {
			t.Errorf("%s: of a file that is named: %v", c.files, diagnostics)
		}
	}
}
