package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestThePageIsWhatTheTestsSay(t *testing.T) {
	root := filepath.Join("..", "..")
	found, err := collect(root)
	if err != nil {
		t.Fatal(err)
	}
	want, err := render(found)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(root, "docs", "faults.md"))
	if err != nil || string(got) != want {
		t.Errorf("docs/faults.md is not what the tests say: run \"go run ./e2e/faults\" (%v)", err)
	}
}

func TestThePageOfRisksIsWhatTheTestsSay(t *testing.T) {
	root := filepath.Join("..", "..")
	found, err := collectRisks(root)
	if err != nil {
		t.Fatal(err)
	}
	want, err := renderRisks(found)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(root, "docs", "risks.md"))
	if err != nil || string(got) != want {
		t.Errorf("docs/risks.md is not what the tests say: run \"go run ./e2e/faults\" (%v)", err)
	}
}

func TestCommentsAboutRisksAreRead(t *testing.T) {
	found, err := readRisks("x_test.go", "// TestA holds.\n//\n// Risk secrets: a is\n//   tried\n// Held: all\nfunc TestA(t *testing.T) {}\n")
	if err != nil || len(found) != 1 || found[0] != (holding{"secrets", "a is tried", "all", "`TestA` in x_test.go", "x_test.go:3"}) {
		t.Errorf("read as %+v, %v", found, err)
	}
	for _, text := range []string{"# Risk secrets: a\nexec x\n", "# Risk secrets: a\n# Seen: b\n"} {
		if _, err := readRisks("a.txtar", text); err == nil || !strings.Contains(err.Error(), "a.txtar:1") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := renderRisks([]holding{{risk: "none"}}); err == nil {
		t.Error("a risk that is not there is taken")
	}
}

func TestCommentsAreRead(t *testing.T) {
	script := "# Words.\n# Fault 3: killed\n# Seen: nothing,\n#   at all\n# Kept: all\n# Fault 4: hung\n# Seen: a\n# Kept: b\nexec x\n"
	found, err := read("e2e/faults/script/killed.txtar", script)
	if err != nil || len(found) != 2 {
		t.Fatal(found, err)
	}
	if f := found[0]; f.row != 3 || f.fault != "killed" || f.seen != "nothing, at all" || f.kept != "all" || f.test != "`TestFaults/killed` in e2e" {
		t.Errorf("read as %+v", f)
	}
	code := "package x\n\n// TestA holds.\n//\n// Fault 11: full\n// Seen: s\n// Kept: k\nfunc TestA(t *testing.T) {}\n"
	found, err = read("engine/x_test.go", code)
	if err != nil || len(found) != 1 || found[0].test != "`TestA` in engine/x_test.go" {
		t.Fatal(found, err)
	}
}

func TestHalfOfACommentIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"nothing kept": "# Fault 3: killed\n# Seen: nothing\nexec x\n",
		"nothing seen": "# Fault 3: killed\n# Kept: all\nexec x\n",
	} {
		if _, err := read("a.txtar", text); err == nil || !strings.Contains(err.Error(), "a.txtar:1") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := read("a_test.go", "// Fault 3: killed\n// Seen: a\n// Kept: b\n"); err == nil {
		t.Error("a comment without a test is taken")
	}
	if _, err := render([]injection{{row: 99}}); err == nil {
		t.Error("a row that is not there is taken")
	}
}

// TestACommentThatIsCutOffIsRefused: a line that is not indented is no part of what is said
// before it, and gofmt takes an indented one for code.
func TestACommentThatIsCutOffIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"of a fault":      "// Fault 3: killed by\n// somebody\n// Seen: a\n// Kept: b\nfunc TestA(t *testing.T) {}\n",
		"of what is seen": "// Fault 3: killed\n// Seen: a and\n// more\n// Kept: b\nfunc TestA(t *testing.T) {}\n",
		"of what is kept": "// Fault 3: killed\n// Seen: a\n// Kept: b and\n// c\nfunc TestA(t *testing.T) {}\n",
		"of a risk":       "// Risk secrets: a is\n// tried\n// Held: b\nfunc TestA(t *testing.T) {}\n",
		"of what is held": "// Risk secrets: a\n// Held: b and\n// c\nfunc TestA(t *testing.T) {}\n",
		"formatted":       "// Risk secrets: a\n// Held: b and\n//\n//\tc\nfunc TestA(t *testing.T) {}\n",
		"formatted, seen": "// Fault 3: killed\n// Seen: a and\n//\n//\tc\n//\n// Kept: b\nfunc TestA(t *testing.T) {}\n",
	} {
		_, ferr := read("a_test.go", text)
		_, rerr := readRisks("a_test.go", text)
		if err := errors.Join(ferr, rerr); err == nil || !strings.Contains(err.Error(), "cut off") {
			t.Errorf("%s: %v", name, err)
		}
	}
	whole := "// TestA holds.\n//\n// Fault 3: killed\n// Seen: a\n// Kept: b\n// Risk secrets: c\n// Held: d\n//\n// Words of its own.\nfunc TestA(t *testing.T) {}\n"
	_, ferr := read("a_test.go", whole)
	_, rerr := readRisks("a_test.go", whole)
	if err := errors.Join(ferr, rerr); err != nil {
		t.Error(err)
	}
}
