package stackfile

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/orlop/orlop/spec/forms"
	"github.com/orlop/orlop/spec/userfile"

	"github.com/orlop/orlop/spec"
)

func TestSplitWords(t *testing.T) {
	tests := []struct {
		line string
		want []string
	}{
		{"", nil},
		{"  a  b\tc\n", []string{"a", "b", "c"}},
		{`sh -c "a; b"`, []string{"sh", "-c", "a; b"}},
		{`a 'b "c" \d' e`, []string{"a", `b "c" \d`, "e"}},
		{`a\ b "c\"d" ""`, []string{"a b", `c"d`, ""}},
		{`--x='a b'c`, []string{"--x=a bc"}},
		{`tab\there`, []string{"tab\there"}},
	}
	for _, test := range tests {
		if got, _, problem := forms.SplitWords(test.line); problem != "" || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%q is %q (%s), want %q", test.line, got, problem, test.want)
		}
	}
	if _, _, problem := forms.SplitWords(`a "b`); problem != `the quote " of the command line is not closed` {
		t.Errorf("an open quote gives %q", problem)
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90s": 90 * time.Second, "1m30s": 90 * time.Second, "0": 0, "1d": 24 * time.Hour, "1w2d": 9 * 24 * time.Hour,
		"1.5h": 90 * time.Minute, "2d3h4m": 51*time.Hour + 4*time.Minute, "500ms": 500 * time.Millisecond, "7us": 7 * time.Microsecond,
	} {
		if got, ok := spec.ParseDuration(text); !ok || got != want {
			t.Errorf("%q is %v (%v), want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{"10", "s", "-1s", "1x", "1d2", "999999999w", "soon", "1 s"} {
		if got, ok := spec.ParseDuration(text); ok {
			t.Errorf("%q is %v, want none", text, got)
		}
	}
}

func TestParseBytes(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1024": 1024, "64k": 64 << 10, "64KB": 64 << 10, "1.5g": 3 << 29, "2GiB": 2 << 30, "1t": 1 << 40, "5b": 5, "10 MB": 10 << 20, "0.001k": 1, "0.0": 0,
	} {
		if got, ok := spec.ParseBytes(text); !ok || got != want {
			t.Errorf("%q is %d (%v), want %d", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "m", "-1", "-1m", "-2", "0.0001", "0.9b", "0.0000001m", "1q", "1mx", "99999999999t", "1.2.3k", "."} {
		if got, ok := spec.ParseBytes(text); ok {
			t.Errorf("%q is %d, want none", text, got)
		}
	}
}

func TestNearestSuggestsOnlyWhatMayBeMeant(t *testing.T) {
	words := []string{"ports", "image", "environment", "depends_on", "db"}
	for word, want := range map[string]string{
		"prots": "ports", "port": "ports", "imgae": "image", "enviroment": "environment", "dependson": "depends_on", "dbb": "db",
		"x": "", "volumes": "", "zzzzz": "", "": "",
	} {
		if got := spec.Nearest(word, words); got != want {
			t.Errorf("%q suggests %q, want %q", word, got, want)
		}
	}
}

func TestFindWalksUpAndTakesTheCompanion(t *testing.T) {
	dir := t.TempDir()
	deep := filepath.Join(dir, "a", "b")
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	find := func() string {
		files, err := userfile.FindStack(deep)
		if err != nil {
			return err.Error()
		}
		for i, f := range files {
			files[i], _ = filepath.Rel(dir, f)
		}
		return strings.Join(files, " ")
	}
	for _, step := range []struct{ add, want string }{
		{"docker-compose.yml", "docker-compose.yml"},
		{"compose.override.yaml", "docker-compose.yml"},
		{"compose.yml", "compose.yml compose.override.yaml"},
		{"stack.yaml", "stack.yaml"},
		{"stack.override.yml", "stack.yaml stack.override.yml"},
		{"a/compose.yaml", "a/compose.yaml"},
	} {
		write(t, filepath.Join(dir, step.add), "services: {}\n")
		if got := find(); got != step.want {
			t.Errorf("with %s: %q, want %q", step.add, got, step.want)
		}
	}
}

func TestTheProjectIsNamed(t *testing.T) {
	tests := []struct {
		name, dir, file string
		opts            Options
		want            string
	}{
		{"by option", "x", "name: filed", Options{Name: "given", Environ: map[string]string{"COMPOSE_PROJECT_NAME": "env"}}, "given"},
		{"by environment", "x", "name: filed", Options{Environ: map[string]string{"COMPOSE_PROJECT_NAME": "env"}}, "env"},
		{"by file", "x", "name: filed", Options{}, "filed"},
		{"by file and variable", "x", "name: ${P:-dev}-shop", Options{}, "dev-shop"},
		{"by directory", "My Shop (2)", "services: {}", Options{}, "myshop2"},
		{"by directory that starts badly", "_-x", "services: {}", Options{}, "x"},
		{"by file where the directory cannot", "Альфа", "name: alpha", Options{}, "alpha"},
		{"by the letters that there are", "Café-β", "services: {}", Options{}, "caf-"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.opts.Dir = filepath.Join(t.TempDir(), test.dir)
			write(t, filepath.Join(test.opts.Dir, "stack.yaml"), test.file)
			p, _, err := Load(context.Background(), test.opts)
			if err != nil {
				t.Fatal(err)
			}
			if p.Name != test.want {
				t.Errorf("the name is %q, want %q", p.Name, test.want)
			}
		})
	}
}

// TestADirectoryThatNamesNothingIsRefused holds that no two such directories
// are taken for one project.
func TestADirectoryThatNamesNothingIsRefused(t *testing.T) {
	for _, name := range []string{"Альфа", "ベータ", "مشروع", "....", "-_-", "(!)"} {
		dir := filepath.Join(t.TempDir(), name)
		write(t, filepath.Join(dir, "stack.yaml"), "services: {a: {image: a}}")
		_, _, err := Load(context.Background(), Options{Dir: dir})
		if err == nil || !strings.HasPrefix(err.Error(), "stack.yaml:1:1: the directory ") || !strings.Contains(err.Error(), "write name:") {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
}

func TestFilesAreReadAsAsked(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "sub", "stack.yaml"), "services: {a: {image: a, build: ./x}}")
	context1 := func(opts Options) string {
		p, _, err := Load(context.Background(), opts)
		if err != nil {
			return err.Error()
		}
		rel, _ := filepath.Rel(dir, p.Services["a"].Build.Context)
		return rel
	}
	if got := context1(Options{Dir: dir, Files: []string{"sub/stack.yaml"}}); got != "sub/x" {
		t.Errorf("paths start at %q, not at the file's directory", got)
	}
	if got := context1(Options{Dir: dir, Files: []string{"sub/stack.yaml"}, ProjectDirectory: "other"}); got != "other/x" {
		t.Errorf("paths start at %q, not at the project directory", got)
	}
	if got, want := context1(Options{Dir: dir, Files: []string{"none.yaml"}}), "cannot read none.yaml: no such file"; got != want {
		t.Errorf("the error is %q, want %q", got, want)
	}
	if got, want := context1(Options{Dir: filepath.Join(dir, "sub"), EnvFiles: []string{"no.env"}}),
		"cannot read the environment file no.env: no such file"; got != want {
		t.Errorf("the error is %q, want %q", got, want)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := Load(ctx, Options{Dir: filepath.Join(dir, "sub")}); err == nil {
		t.Error("a cancelled load went on")
	}
}

func TestVariablesThatSwitchOn(t *testing.T) {
	for text, want := range map[string]bool{
		"true": true, "True": true, "yes": true, "on": true, "y": true, "t": true, "T": true, "1": true,
		"": false, "0": false, "false": false, "no": false, "off": false, "2": false, "x": false,
	} {
		if spec.IsTrue(text) != want {
			t.Errorf("%q is %t", text, !want)
		}
	}
}
