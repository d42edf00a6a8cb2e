// Command faults writes docs/faults.md from the tests that inject faults, so
// that the page can't promise what no test holds: go run ./e2e/faults
//
// A test that injects a fault says so in three lines of its comment: at the
// top of a script, or of a Go test's doc comment.
//
//	Fault 3: the engine is killed while services run
//	Seen: what a user sees of it
//	Kept: what is not lost, and what is not left behind
//
// One that holds something against a risk says, for docs/risks.md:
//
//	Risk secrets: what is tried
//	Held: what holds
//
// The number is that of a row here. In a script, each may be folded over lines
// that are indented by three spaces; in Go, gofmt leaves one line for each.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if err := write("."); err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(1)
	}
}

// write writes the page of the repository at root.
func write(root string) error {
	found, err := collect(root)
	if err != nil {
		return err
	}
	page, err := render(found)
	if err != nil {
		return err
	}
	held, err := collectRisks(root)
	if err != nil {
		return err
	}
	second, err := renderRisks(held)
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(root, "docs", "faults.md"), []byte(page), 0o644),
		os.WriteFile(filepath.Join(root, "docs", "risks.md"), []byte(second), 0o644))
}
