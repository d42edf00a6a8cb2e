package e2e

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/orlop/orlop/failpoint"
)

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
