package stackfile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/orlop/orlop/spec/variables"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/userfile"
)

// mistakesOf loads a file and gives what is wrong with it, one a line.
func mistakesOf(t testing.TB, content string) string {
	t.Helper()
	_, _, err := Load(context.Background(), Options{Dir: os.TempDir(), ProjectDirectory: "/nowhere", Files: []string{"-"},
		Stdin: strings.NewReader(content), SkipPayloads: true})
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestLegalInputThatHurtsIsRefusedAtOnce: see the risk.
//
// Risk legal input: aliases that multiply, nested variables, ranges of ports, a billion replicas
// Held: each is refused at once, by a limit that the message names
func TestLegalInputThatHurtsIsRefusedAtOnce(t *testing.T) {
	nested := strings.Repeat("${A:-", 40) + strings.Repeat("}", 40)
	deep := strings.Repeat("${A:-", 10_000) + strings.Repeat("}", 10_000)
	many := "services:\n"
	for i := range maxServices + 1 {
		many += fmt.Sprintf("  s%d: {image: a}\n", i)
	}
	shared := "x-e: &e {"
	for i := range 30 {
		shared += fmt.Sprintf("K%d: v, ", i)
	}
	shared += "}\nservices:\n"
	for i := range 1200 {
		shared += fmt.Sprintf("  s%d: {image: a, environment: *e}\n", i)
	}
	tests := []struct{ name, file, want string }{
		{"ports", "services: {a: {image: a, ports: ['1-65535']}}", "a service may publish at most 4096 ports"},
		{"nested variables", "services: {a: {image: a, user: '" + nested + "'}}", "nested more than 32 levels deep"},
		{"very nested variables", "services: {a: {image: a, user: '" + deep + "'}}", "nested more than 32 levels deep"},
		{"replicas", "services: {a: {image: a, deploy: {replicas: 1000000000}}}", "1000000000 replicas are not possible"},
		{"services", many, "a stack may hold at most 2000 services"},
		{"nesting", "x-a: " + strings.Repeat("[", 500) + strings.Repeat("]", 500), "nested more than 64 levels deep"},
		{"entries", "services: {a: {image: a, environment: {" + strings.Join(numbered(maxEntries+1), ", ") + "}}}", "more than 10000 entries"},
		{"size", "#" + strings.Repeat("x", userfile.MaxText+1), "it is larger than 8 MB"},
		{"one mapping shared by many services is right", shared, ""},
		{"large number", "services: {a: {image: a, mem_limit: 99999999999t}}", "expected a size"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := mistakesOf(t, test.file)
			if test.want == "" && got != "" || !strings.Contains(got, test.want) {
				t.Errorf("the error is %q, want %q", spec.Shorten(got), test.want)
			}
		})
	}
}

func numbered(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("K%d: v", i)
	}
	return out
}

// FuzzLoad holds that no input panics or takes long, and that what is wrong
// has a place.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/corpus/*.y*ml", "testdata/load/*.txtar"} {
		paths, _ := filepath.Glob(pattern)
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			if filepath.Ext(path) == ".txtar" {
				_, after, _ := strings.Cut(string(data), ".yaml --\n")
				before, _, _ := strings.Cut(after, "\n-- ")
				data = []byte(before)
			}
			f.Add(string(data))
		}
	}
	f.Fuzz(func(t *testing.T, content string) {
		start := time.Now()
		project, diagnostics, err := Load(context.Background(), Options{Dir: t.TempDir(), Files: []string{"-"},
			Stdin: strings.NewReader(content), SkipPayloads: true})
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
		var mistakes *spec.Mistakes
		if err != nil && !errors.As(err, &mistakes) {
			t.Errorf("not a diagnostic: %v", err)
		}
		for _, d := range diagnostics {
			if d.Place.Line < 1 && d.Path != "" {
				t.Errorf("no place: %v", d)
			}
		}
		if project == nil {
			return
		}
		if _, err := project.YAML(); err != nil {
			t.Error(err)
		}
		canonical, err := project.JSON()
		if err != nil {
			t.Fatal(err)
		}
		if len(project.Bases) > 0 {
			return // they are not shown, as in Compose
		}
		again, _, err := Load(context.Background(), Options{Dir: t.TempDir(), Files: []string{"-"},
			Stdin: strings.NewReader(string(canonical)), SkipPayloads: true})
		if err != nil && !strings.Contains(err.Error(), "no content is given") {
			t.Errorf("the canonical form does not load: %v\n%s", err, canonical)
		}
		if err == nil && len(again.Services) != len(project.Services) {
			t.Errorf("%d services became %d", len(project.Services), len(again.Services))
		}
	})
}

func FuzzExpand(f *testing.F) {
	for _, s := range []string{"$A", "${A:-${B:-c}}", "$$", "${A", "a${A:?no}b", "${A:+{x}}", "$", "${}", "${A!}"} {
		f.Add(s)
	}
	vars := &variables.Expander{Lookup: func(name string) (string, bool) { return "v", len(name)%2 == 0 }}
	f.Fuzz(func(t *testing.T, s string) {
		text, unset, bad := vars.Expand(s)
		for _, u := range unset {
			if u.Offset < 0 || u.Offset+len(u.Expr) > len(s) || s[u.Offset:u.Offset+len(u.Expr)] != u.Expr {
				t.Errorf("%q is not at %d of %q", u.Expr, u.Offset, s)
			}
		}
		if bad != nil && !strings.HasPrefix(s[bad.Offset:], bad.Expr) {
			t.Errorf("%q is not at %d of %q", bad.Expr, bad.Offset, s)
		}
		if !strings.Contains(s, "$") && text != s {
			t.Errorf("%q became %q", s, text)
		}
	})
}

func FuzzEnvFile(f *testing.F) {
	for _, s := range []string{"A=1", "export A=\"x\ny\"", "A='", "A\nB=$A", "# c\n\nA: b #c", "A=\"\\0101\\$x\"", "=", "A B=1"} {
		f.Add(s, false)
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, s string, raw bool) {
		values := map[string]string{}
		read := variables.ReadEnv(s, raw, values, func(string) (string, bool) { return "", false })
		lines := strings.Count(s, "\n") + 1
		for _, problem := range read.Problems {
			if problem.Line >= 1 && problem.Line <= lines && problem.Column >= 1 {
				continue
			}
			t.Errorf("line %d of %d", problem.Line, lines)
		}
		for _, u := range read.Unset {
			if u.At.Line < 1 || u.At.Line > lines || u.At.Column < 1 {
				t.Errorf("%s is placed at %d:%d of %d lines", u.Expr, u.At.Line, u.At.Column, lines)
			}
		}
		for name := range values {
			if strings.TrimSpace(name) != name || name == "" {
				t.Errorf("the name %q", name)
			}
		}
	})
}

func BenchmarkLoad50Services(b *testing.B) {
	var file strings.Builder
	file.WriteString("services:\n")
	for i := range 50 {
		fmt.Fprintf(&file, `  s%d:
    image: "example/app:${TAG:-1}"
    command: [run, --port, "80"]
    environment: [A=1, B=2, "C=${C:-3}"]
    ports: ["%d:80"]
    volumes: ["data:/data", "./src:/src:ro"]
    networks: [front, back]
    depends_on: {s%d: {condition: service_started}}
    healthcheck: {test: curl -f localhost, interval: 10s, retries: 3}
    labels: {a: b, c: d}
`, i, 8000+i, (i+49)%50+50*(1-min(1, i)))
	}
	content := strings.Replace(file.String(), "s99", "last", 1) +
		"  last: {image: a}\nnetworks: {front: , back: }\nvolumes: {data: }\n"
	for b.Loop() {
		if got := mistakesOf(b, content); got != "" {
			b.Fatal(got)
		}
	}
}
