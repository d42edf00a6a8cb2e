package spec

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestMistakesTellTheProject(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		opts Options
		want string
	}{
		"by its directory":         {"services: {a: {imag: x}}", Options{}, "here"},
		"by its name":              {"name: shop\nservices: {a: {imag: x}}", Options{}, "shop"},
		"by the caller":            {"name: shop\nservices: {a: {imag: x}}", Options{Name: "mine"}, "mine"},
		"by a variable":            {"name: shop\nservices: {a: {image: \"${X:?}\"}}", Options{Environ: map[string]string{"COMPOSE_PROJECT_NAME": "ours"}}, "ours"},
		"an instance":              {"name: shop\nservices: {a: {imag: x}}", Options{Instance: "two"}, "shop-two"},
		"a half-written file":      {"name: \"shop\" # mine\nservices:\n  a:\n    image: \"x", Options{}, "shop"},
		"a half-written instance":  {"name: shop\nservices: [", Options{Instance: "two"}, "shop-two"},
		"half-written, no name":    {"services:\n  a: {name: shop", Options{}, "here"},
		"half-written, the caller": {"name: shop\nservices: [", Options{Name: "mine"}, "mine"},
		"a name that can't be one": {"name: 'No Name'\nservices: {a: {image: x}}", Options{}, ""},
	} {
		dir := filepath.Join(t.TempDir(), "here")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "stack.yaml"), []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		c.opts.Dir = dir
		_, _, err := Load(context.Background(), c.opts)
		var mistakes *Mistakes
		if !errors.As(err, &mistakes) {
			t.Fatalf("%s: %v", name, err)
		}
		if mistakes.Project != c.want {
			t.Errorf("%s: the project is %q, want %q", name, mistakes.Project, c.want)
		}
	}
}
