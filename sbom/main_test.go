package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// TestAProgramIsDescribed: this test's own program.
func TestAProgramIsDescribed(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var first, second bytes.Buffer
	for _, out := range []*bytes.Buffer{&first, &second} {
		if err := run(out, "orlop", "v1", "1700000000", []string{self}); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("two documents of the same differ")
	}
	var doc document
	if err := json.Unmarshal(first.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Version != "SPDX-2.3" || doc.Creation.Created != "2023-11-14T22:13:20Z" || len(doc.Packages) < 2 || doc.Relationships[0].Type != "DESCRIBES" {
		t.Errorf("it is %s", first.String())
	}
	ids := map[string]bool{doc.ID: true}
	for _, p := range doc.Packages {
		if ids[p.ID] {
			t.Errorf("%s is there twice", p.ID)
		}
		ids[p.ID] = true
	}
	for _, r := range doc.Relationships {
		if !ids[r.From] || !ids[r.To] {
			t.Errorf("%+v speaks of nothing", r)
		}
	}
	if err := run(&first, "x", "v1", "", []string{"main.go"}); err == nil || !strings.Contains(err.Error(), "main.go") {
		t.Errorf("no program: %v", err)
	}
}
