package main

import (
	"fmt"
	"strings"
)

// render makes the page. It refuses a test that names a row which is not there.
func render(found []injection) (string, error) {
	byRow := map[int][]injection{}
	for _, i := range found {
		byRow[i.row] = append(byRow[i.row], i)
	}
	var b strings.Builder
	b.WriteString("# Faults\n\n<!-- Written by `go run ./e2e/faults` from the comments of the tests. Don't edit. -->\n\n" +
		"What goes wrong on real machines, what is seen of it, and what is not lost. Every line is a test. A script (`TestScripts`,\n" +
		"`TestFaults`) injects the fault into a real engine, which it kills, starves, fills or lies to; a Go test beside its package into the part that\n" +
		"is concerned; one in e2e/guest into a whole machine (`make guest`).\n\n" +
		"| # | Fault | What is seen | What is kept | Test |\n|---|---|---|---|---|\n")
	known := map[int]bool{}
	tested := 0
	for _, r := range rows() {
		known[r.number] = true
		if len(byRow[r.number]) > 0 {
			tested++
		}
		for _, i := range byRow[r.number] {
			fmt.Fprintf(&b, "| %d | %s | %s | %s | %s |\n", r.number, cell(i.fault), cell(i.seen), cell(i.kept), i.test)
		}
	}
	for _, i := range found {
		if !known[i.row] {
			return "", fmt.Errorf("%s: there is no row %d", i.place, i.row)
		}
	}
	fmt.Fprintf(&b, "\n%d of %d kinds of fault have a test.", tested, len(rows()))
	if tested < len(rows()) {
		b.WriteString(" The others:\n\n| # | Fault | Why no test injects it |\n|---|---|---|\n")
	}
	for _, r := range rows() {
		if len(byRow[r.number]) == 0 {
			reason := r.untested
			if reason == "" {
				reason = "not written yet"
			}
			fmt.Fprintf(&b, "| %d | %s | %s |\n", r.number, cell(r.fault), cell(reason))
		}
	}
	return strings.TrimRight(b.String(), "\n") + "\n", nil
}

// cell is text as a table takes it.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
