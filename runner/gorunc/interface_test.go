package runc

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// An upgrade of go-runc that has more than this module would not build, or, worse, do without.
func TestItHasAllOfGoRunc(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", "{{.Dir}}", "github.com/orlop/go-runc").Output()
	if err != nil {
		t.Fatal(err)
	}
	ours := exported(t, ".")
	for _, name := range slices.Sorted(maps.Keys(exported(t, strings.TrimSpace(string(out))))) {
		if !ours[name] {
			t.Errorf("it has no %s", name)
		}
	}
}

// exported are the names that a package tells, those of its own types' methods with the type.
func exported(t *testing.T, dir string) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	files, _ := filepath.Glob(filepath.Join(dir, "*.go"))
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				name := d.Name.Name
				if d.Recv != nil {
					star, ok := d.Recv.List[0].Type.(*ast.StarExpr)
					if !ok {
						continue
					}
					owner := star.X.(*ast.Ident).Name
					if owner != "Runc" { // the others are the same types
						continue
					}
					name = owner + "." + name
				}
				if ast.IsExported(d.Name.Name) {
					out[name] = true
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					switch s := s.(type) {
					case *ast.TypeSpec:
						if s.Name.IsExported() {
							out[s.Name.Name] = true
						}
					case *ast.ValueSpec:
						for _, n := range s.Names {
							if n.IsExported() {
								out[n.Name] = true
							}
						}
					}
				}
			}
		}
	}
	return out
}

// Without Within, and for what that does not do, the program is called; with it, it is asked.
func TestCallsGoWhereTheyAreTold(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "runc")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho \"$@\" >>"+dir+"/calls\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	calls := func() string {
		text, _ := os.ReadFile(filepath.Join(dir, "calls"))
		_ = os.Remove(filepath.Join(dir, "calls"))
		return strings.TrimSpace(string(text))
	}
	r := &Runc{Command: program, Root: "/r"}
	if err := r.Kill(t.Context(), "box", 9, nil); err != nil || calls() != "--root /r kill box 9" {
		t.Errorf("kill by a process: %v", err)
	}
	asked := &library{}
	Within = asked
	defer func() { Within = nil }()
	if err := r.Kill(t.Context(), "box", 9, nil); err != nil || calls() != "" || asked.killed != "/r box" {
		t.Errorf("kill within: %v, %q", err, asked.killed)
	}
	if err := r.Update(t.Context(), "box", &specs.LinuxResources{}); err != nil || !strings.HasPrefix(calls(), "--root /r update ") {
		t.Errorf("update: %v", err)
	}
}

type library struct {
	Library
	killed string
}

func (l *library) Kill(_ context.Context, r *Runc, id string, _ int, _ *KillOpts) error {
	l.killed = r.Root + " " + id
	return nil
}
