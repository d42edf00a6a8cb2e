package planner

import (
	"maps"
	"testing"
)

// A build is not run for what it does not take of its context, where all that it takes is known.
func TestABuildIsHeldAgainstWhatItTakes(t *testing.T) {
	files := map[string]string{"Dockerfile": "1", "compose.yaml": "1", "src": "dir 755", "src/a.go": "1", "src/deep/b": "1", "lib/x": "1", "link": "link src"}
	inputs := func(sum string, edits map[string]string) *Inputs {
		in := &Inputs{Sum: sum, Files: maps.Clone(files), Other: map[string]string{"dockerfile": "1"}, Bases: map[string]string{"busybox": ""}, Plain: true}
		for file, text := range edits {
			if in.Files[file] = text; text == "" {
				delete(in.Files, file)
			}
		}
		return in
	}
	for name, c := range map[string]struct {
		taken string
		edits map[string]string
		alter func(have, want *Inputs)
		same  bool
	}{
		"nothing":                        {"src", nil, nil, true},
		"another file":                   {"src", map[string]string{"compose.yaml": "2", "new": "1", "lib/x": ""}, nil, true},
		"one beside it of a like name":   {"src", map[string]string{"src2": "1", "srcs/a": "1"}, nil, true},
		"one of its files":               {"src", map[string]string{"src/deep/b": "2"}, nil, false},
		"one more":                       {"src", map[string]string{"src/c": "1"}, nil, false},
		"one less":                       {"src", map[string]string{"src/a.go": ""}, nil, false},
		"its mode":                       {"src", map[string]string{"src": "dir 700"}, nil, false},
		"that of where it is":            {"src/deep", map[string]string{"src": "dir 700"}, nil, false},
		"a file":                         {"lib/x", map[string]string{"lib/x": "2"}, nil, false},
		"one beside it":                  {"lib/x", map[string]string{"lib/y": "2"}, nil, true},
		"any of a kind":                  {"src/*.go", map[string]string{"src/c.go": "2"}, nil, false},
		"none of it":                     {"src/*.go", map[string]string{"src/deep/c.go": "2"}, nil, true},
		"a directory of any name":        {"*/deep", map[string]string{"src/deep/c": "2"}, nil, false},
		"a link that is taken":           {"link", map[string]string{"lib/x": "2"}, nil, false},
		"through a link":                 {"link/a.go", map[string]string{"lib/x": "2"}, nil, false},
		"a link below it is one":         {"src", map[string]string{"src/l": "link ../lib"}, nil, false},
		"of a further context":           {"src", map[string]string{"more:compose.yaml": "2"}, nil, false},
		"its Dockerfile":                 {"src", map[string]string{"Dockerfile": "2"}, func(_, want *Inputs) { want.Other = map[string]string{"dockerfile": "2"} }, false},
		"what it takes is not known":     {"", map[string]string{"compose.yaml": "2"}, func(_, want *Inputs) { want.Taken = nil }, false},
		"nor what its bases bring":       {"src", map[string]string{"compose.yaml": "2"}, func(have, _ *Inputs) { have.Plain = false }, false},
		"nor what there was":             {"src", nil, func(have, _ *Inputs) { have.Files = nil }, false},
		"another base":                   {"src", map[string]string{"compose.yaml": "2"}, func(have, _ *Inputs) { have.Bases = map[string]string{"debian": ""} }, false},
		"something of the network in it": {"src", map[string]string{"compose.yaml": "2"}, func(_, want *Inputs) { want.Floating = true }, false},
	} {
		have, want := inputs("a", nil), inputs("b", c.edits)
		if c.edits == nil && c.alter == nil {
			want.Sum = have.Sum
		}
		want.Taken, want.Plain = &[]string{c.taken}, false
		if c.alter != nil {
			c.alter(have, want)
		}
		if got := want.isBuiltFrom(have, false); got != c.same {
			t.Errorf("%s: the same: %t, want %t", name, got, c.same)
		}
	}
}
