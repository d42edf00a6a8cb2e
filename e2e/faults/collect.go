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
	var err error
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
		} else if field, err = goOn(field, mark, comment); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, line, err)
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

// key is how a line begins that says something of its own.
var key = regexp.MustCompile(`^(Fault \d+|Seen|Kept|Risk [a-z ]+|Held): `)

// goOn goes on with a field, which may be nil, by a line of a comment, and gives the field
// that the next line may go on with. What would be cut off is an error.
func goOn(field *string, mark, comment string) (*string, error) {
	body := strings.TrimSpace(comment)
	switch {
	case strings.HasPrefix(comment, "\t") && mark == "//":
		return nil, fmt.Errorf("%q is cut off from what is said before it: gofmt leaves no line folded, write it in one", body)
	case body == "" || field == nil || key.MatchString(body):
		return nil, nil
	case !strings.HasPrefix(comment, "   "):
		return nil, fmt.Errorf("%q is cut off from the line before it: indent it by three spaces, or leave a line between them", body)
	}
	*field += " " + body
	return field, nil
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
