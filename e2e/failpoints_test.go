package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/orlop/orlop/e2e/lab"
	"github.com/orlop/orlop/failpoint"
)

// failpointPrograms is a directory of programs that are as those for users, but for
// the failpoints that they have.
func (s *theatre) failpointPrograms() (string, error) {
	s.building.Lock()
	defer s.building.Unlock()
	if s.failpoint != "" {
		return s.failpoint, nil
	}
	dir, err := os.MkdirTemp("/var/tmp", "orlop-failpoints-")
	if err != nil {
		return "", err
	}
	s.failpoint = dir
	build := exec.Command("go", "build", "-trimpath", "-tags", "failpoints", "-ldflags", "-s -w -X main.version=failpoints", "-o", dir,
		"./cmd/orlop", "./cmd/orlopd", "./cmd/orlop-engine")
	build.Dir, build.Env = repository(), append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build the programs with failpoints: %w\n%s", err, out)
	}
	for _, name := range lab.Programs() {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			continue
		}
		if out, err := exec.Command("cp", filepath.Join(programs(), name), path).CombinedOutput(); err != nil {
			return "", fmt.Errorf("%w: %s", err, out)
		}
	}
	return dir, nil
}

// armFailpoint: arm NAME ACTION... has the engine or the keeper, of "engine
// failpoints", do something at a failpoint once; see package failpoint.
func armFailpoint(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, args, 2, -1, "arm NAME kill|delay|pause|error [ARG]")
	ts.Check(arm(ts.Getenv(failpoint.Variable), args[0], strings.Join(args[1:], " ")))
}

// arm says what is to be done at a failpoint. It is there as a whole or not at all.
func arm(dir, name, what string) error {
	path := filepath.Join(dir, failpoint.File(name))
	err := errors.Join(os.RemoveAll(path+".hit"), os.WriteFile(path+".new", []byte(what+"\n"), 0o600))
	return errors.Join(err, os.Rename(path+".new", path))
}

// disarm takes it back.
func disarm(dir, name string) error { return os.RemoveAll(filepath.Join(dir, failpoint.File(name))) }

// awaitFailpoint: passed NAME returns when the engine has come to a failpoint.
func awaitFailpoint(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, args, 1, 1, "passed NAME")
	for end := time.Now().Add(60 * time.Second); !isPassed(ts.Getenv(failpoint.Variable), args[0]); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			ts.Fatalf("nothing comes to %s", args[0])
		}
	}
}

func isPassed(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, failpoint.File(name)+".hit"))
	return err == nil
}

// mark is a failpoint of the sources.
type mark struct {
	name  string
	fails bool // it is one that may fail, too
}

// marks are the failpoints of the sources, by name. Each is in one place.
func marks() ([]mark, error) {
	var all []mark
	root := repository()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && (strings.HasPrefix(d.Name(), ".") || d.Name() == "bin" || d.Name() == "failpoint") {
			if err == nil && path != root {
				err = fs.SkipDir
			}
			return err
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		found, err := marksOf(path)
		all = append(all, found...)
		return err
	})
	slices.SortFunc(all, func(a, b mark) int { return strings.Compare(a.name, b.name) })
	return all, err
}

func marksOf(path string) ([]mark, error) {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var found []mark
	ast.Inspect(file, func(n ast.Node) bool {
		call, is := n.(*ast.CallExpr)
		if !is || len(call.Args) != 1 {
			return true
		}
		fun, is := call.Fun.(*ast.SelectorExpr)
		if !is {
			return true
		}
		from, is := fun.X.(*ast.Ident)
		name, literal := call.Args[0].(*ast.BasicLit)
		if is && literal && from.Name == "failpoint" && name.Kind == token.STRING {
			text, _ := strconv.Unquote(name.Value)
			found = append(found, mark{name: text, fails: fun.Sel.Name == "Fail"})
		}
		return true
	})
	return found, nil
}

// What users get knows nothing of failpoints: no name of one, and not the variable
// that would set them off.
func TestProgramsForUsersHaveNoFailpoints(t *testing.T) {
	if missing != nil {
		t.Skip("SKIPPED: " + missing.Error())
	}
	all, err := marks()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 30 {
		t.Fatalf("only %d failpoints were found", len(all))
	}
	words := []string{failpoint.Variable, "orlop/failpoint"}
	for i, m := range all {
		if i > 0 && all[i-1].name == m.name {
			t.Errorf("%s is the name of two failpoints", m.name)
		}
		words = append(words, m.name)
	}
	for _, program := range []string{"orlop", "orlopd", "orlop-engine"} {
		text, err := os.ReadFile(filepath.Join(programs(), program))
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range words {
			if bytes.Contains(text, []byte(word)) {
				t.Errorf("bin/%s has %q", program, word)
			}
		}
	}
}
