package main

import (
	"bufio"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// injection is what a test says of a fault that it injects.
type injection struct {
	row        int
	fault      string
	seen, kept string
	test       string // how to run it, or where it is
	place      string // file:line
}

var (
	opening  = regexp.MustCompile(`^Fault (\d+): (.+)$`)
	function = regexp.MustCompile(`^func (Test\w+|Fuzz\w+)\(`)
)

// collect reads the tests of the repository at root.
func collect(root string) ([]injection, error) {
	var all []injection
	err := eachTest(root, func(rel, text string) error {
		found, err := read(rel, text)
		all = append(all, found...)
		return err
	})
	slices.SortStableFunc(all, func(a, b injection) int { return a.row - b.row })
	return all, err
}

// read reads the comments of one test file.
func read(path, text string) ([]injection, error) {
	mark := "//"
	if strings.HasSuffix(path, ".txtar") {
		mark = "#"
	}
	var all, pending []injection
	var field *string // of the last of pending, to be gone on with
	line := 0
	for s := bufio.NewScanner(strings.NewReader(text)); s.Scan(); {
		line++
		comment, is := strings.CutPrefix(s.Text(), mark)
		if !is {
			field = nil
			if m := function.FindStringSubmatch(s.Text()); m != nil {
				all = append(all, named(pending, "`"+m[1]+"` in "+path)...)
				pending = nil
			}
			continue
		}
		body := strings.TrimSpace(comment)
		var value string
		var is2 bool
		switch m := opening.FindStringSubmatch(body); {
		case m != nil:
			number, err := strconv.Atoi(m[1])
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w", path, line, err)
			}
			pending = append(pending, injection{row: number, fault: m[2], place: fmt.Sprintf("%s:%d", path, line)})
			field = &pending[len(pending)-1].fault
			continue
		case len(pending) == 0:
			continue
		}
		last := &pending[len(pending)-1]
		if value, is2 = strings.CutPrefix(body, "Seen: "); is2 {
			last.seen, field = value, &last.seen
		} else if value, is2 = strings.CutPrefix(body, "Kept: "); is2 {
			last.kept, field = value, &last.kept
		} else if field != nil && strings.HasPrefix(comment, "   ") {
			*field += " " + body
		} else {
			field = nil
		}
	}
	if mark == "#" {
		all = named(pending, scriptName(path))
		pending = nil
	}
	if len(pending) > 0 {
		return nil, fmt.Errorf("%s: no test follows what is said of fault %d", pending[0].place, pending[0].row)
	}
	for _, i := range all {
		if i.seen == "" || i.kept == "" {
			return nil, fmt.Errorf("%s: fault %d needs a line that begins with \"Seen: \", and one with \"Kept: \"", i.place, i.row)
		}
	}
	return all, nil
}

func named(pending []injection, test string) []injection {
	for i := range pending {
		pending[i].test = test
	}
	return pending
}

// scriptName is the name of a script's test.
func scriptName(path string) string {
	name := strings.TrimSuffix(filepath.Base(path), ".txtar")
	if strings.HasPrefix(path, "e2e/faults/") {
		return "`TestFaults/" + name + "` in e2e"
	}
	return "`TestScripts/" + name + "` in e2e"
}
