package stackfile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/tools/txtar"

	"github.com/orlop/orlop/spec"
)

const (
	brokenDocuments = "testdata/broken.txtar"
	brokenMessages  = "testdata/broken.txt"
)

// TestBrokenDocumentsAreToldOfWhereTheyAreBroken loads documents each of which has one
// mistake, with a mark (¦) before it. At least 95 in 100 must be told of at just that
// place, and all as broken.txt says; -update writes that.
func TestBrokenDocumentsAreToldOfWhereTheyAreBroken(t *testing.T) {
	archive, err := txtar.ParseFile(brokenDocuments)
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	exact := 0
	for _, f := range archive.Files {
		text, place := marked(t, f)
		first, rest := told(t, text)
		if first.Place.Line == place.Line && first.Place.Column == place.Column {
			exact++
		} else {
			t.Logf("%s: told at %d:%d, it is at %d:%d: %s", f.Name, first.Place.Line, first.Place.Column, place.Line, place.Column, first.Message)
		}
		fmt.Fprintf(&said, "%s\n  %d:%d %s: %s\n", f.Name, first.Place.Line, first.Place.Column, first.Path, first.Message)
		if first.Hint != "" {
			fmt.Fprintf(&said, "    %s\n", first.Hint)
		}
		for _, d := range rest {
			fmt.Fprintf(&said, "  and %d:%d %s: %s\n", d.Place.Line, d.Place.Column, d.Path, d.Message)
		}
	}
	if n := len(archive.Files); n < 200 || exact*100 < n*95 {
		t.Errorf("%d of %d documents are told of at the place of their mistake", exact, n)
	}
	if *update {
		if err := os.WriteFile(brokenMessages, []byte(said.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(brokenMessages)
	if err != nil {
		t.Fatal(err)
	}
	if said.String() != string(want) {
		t.Errorf("what is said of broken documents is not %s any more; see what changed with -update", brokenMessages)
	}
}

// marked is a document without its mark, and where that stood.
func marked(t *testing.T, f txtar.File) (string, spec.Place) {
	t.Helper()
	before, after, ok := strings.Cut(string(f.Data), "¦")
	if !ok {
		t.Fatalf("%s has no mark", f.Name)
	}
	line := before[strings.LastIndexByte(before, '\n')+1:]
	return before + after, spec.Place{Line: strings.Count(before, "\n") + 1, Column: utf8.RuneCountInString(line) + 1}
}

// told is the first mistake that a document is told to have, and the others.
func told(t *testing.T, text string) (spec.Diagnostic, spec.Diagnostics) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "shop")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "stack.yaml"), text)
	_, diagnostics, err := Load(context.Background(), Options{Dir: dir})
	var mistakes *spec.Mistakes
	switch {
	case errors.As(err, &mistakes):
		diagnostics = mistakes.Diagnostics
	case err != nil:
		return spec.Diagnostic{Message: strings.ReplaceAll(err.Error(), dir, "DIR")}, nil
	}
	all := diagnostics.Errors()
	if len(all) == 0 {
		return spec.Diagnostic{Message: "nothing is wrong"}, nil
	}
	for i := range all {
		all[i].Message = strings.ReplaceAll(all[i].Message, dir, "DIR")
	}
	return all[0], all[1:]
}
