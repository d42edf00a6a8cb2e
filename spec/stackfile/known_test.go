package stackfile

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/orlop/orlop/spec"

	"github.com/rogpeppe/go-internal/txtar"
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
		var mistakes *spec.Mistakes
		if !errors.As(err, &mistakes) {
			t.Fatalf("%s: %v", name, err)
		}
		if mistakes.Project != c.want {
			t.Errorf("%s: the project is %q, want %q", name, mistakes.Project, c.want)
		}
	}
}

func TestMistakesTellNoProjectThatAnotherMayHave(t *testing.T) {
	const halfWritten = "services: {a: [\n"
	for name, c := range map[string]struct {
		files string
		more  []string // loaded after stack.yaml
		opts  Options
		want  string
	}{
		"the flag that is the directory's name": {"-- stack.yaml --\nname: other\n" + halfWritten, nil, Options{Name: "here"}, "here"},
		"the variable that is the directory's name": {"-- stack.yaml --\nname: other\n" + halfWritten, nil,
			Options{Environ: map[string]string{"COMPOSE_PROJECT_NAME": "here"}}, "here"},
		"the .env that says the directory's name": {"-- stack.yaml --\nname: other\n" + halfWritten + "-- .env --\nCOMPOSE_PROJECT_NAME=here\n", nil, Options{}, "here"},
		"the file that says the directory's name": {"-- stack.yaml --\nname: here\ninclude: [part.yaml]\n-- part.yaml --\nname: other\n" + halfWritten, nil, Options{}, "here"},
		"a half-written included file": {"-- stack.yaml --\ninclude: [part.yaml]\nservices: {b: {image: x}}\n-- part.yaml --\nname: other\n" + halfWritten,
			nil, Options{}, "here"},
		"a half-written file that includes": {"-- stack.yaml --\ninclude: [part.yaml]\n" + halfWritten + "-- part.yaml --\nname: other\n", nil, Options{}, "here"},
		"a half-written base": {"-- stack.yaml --\nservices: {b: {extends: {file: base.yaml, service: a}}}\n-- base.yaml --\nname: other\n" + halfWritten,
			nil, Options{}, "here"},
		"the last of the files":      {"-- stack.yaml --\nname: other\n" + halfWritten + "-- more.yaml --\nname: shop\n", []string{"more.yaml"}, Options{}, "shop"},
		"the half-written override":  {"-- stack.yaml --\nname: other\n-- more.yaml --\nname: shop\n" + halfWritten, []string{"more.yaml"}, Options{}, "shop"},
		"an override without a name": {"-- stack.yaml --\nname: shop\n-- more.yaml --\n" + halfWritten, []string{"more.yaml"}, Options{}, "shop"},
		"an override that can't be told": {"-- stack.yaml --\nname: shop\n-- more.yaml --\nname: ${STAGE}-shop\n" + halfWritten,
			[]string{"more.yaml"}, Options{}, ""},
		"a name with a variable":      {"-- stack.yaml --\nname: ${STAGE}-shop\n" + halfWritten, nil, Options{Environ: map[string]string{"STAGE": "x"}}, ""},
		"a name without its variable": {"-- stack.yaml --\nname: ${STAGE:?say}\nservices: {a: {image: x}}\n", nil, Options{}, ""},
		"a name with an anchor":       {"-- stack.yaml --\nname: &n shop\n" + halfWritten, nil, Options{}, ""},
		"a name on the next line":     {"-- stack.yaml --\nname:\n  shop\n" + halfWritten, nil, Options{}, ""},
		"a name that is half a word":  {"-- stack.yaml --\n" + halfWritten + "name: \"sho\n", nil, Options{}, ""},
		"a quoted key":                {"-- stack.yaml --\n\"name\" : shop\n" + halfWritten, nil, Options{}, "shop"},
		"an indented file":            {"-- stack.yaml --\n# stack\n---\n  name: shop\n  " + halfWritten, nil, Options{}, "shop"},
		"a file in braces":            {"-- stack.yaml --\n{\"name\": \"shop\",\n\"services\": {\n", nil, Options{}, ""},
		"both sides of a merge":       {"-- stack.yaml --\n<<<<<<< mine\nname: shop\n=======\nname: other\n>>>>>>> theirs\n" + halfWritten, nil, Options{}, ""},
		"a .env that ends too early":  {"-- stack.yaml --\nservices: {a: {image: x}}\n-- .env --\nA B=1\nCOMPOSE_PROJECT_NAME=other\n", nil, Options{}, ""},
		"a .env, and a flag":          {"-- stack.yaml --\nservices: {a: {image: x}}\n-- .env --\nA B=1\n", nil, Options{Name: "mine"}, "mine"},
	} {
		dir := filepath.Join(t.TempDir(), "here")
		for _, f := range txtar.Parse([]byte(c.files)).Files {
			write(t, filepath.Join(dir, f.Name), string(f.Data))
		}
		c.opts.Dir = dir
		c.opts.Files = append([]string{"stack.yaml"}, c.more...)
		_, _, err := Load(context.Background(), c.opts)
		var mistakes *spec.Mistakes
		if !errors.As(err, &mistakes) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if mistakes.Project != c.want {
			t.Errorf("%s: the project is %q, want %q", name, mistakes.Project, c.want)
		}
	}
}
