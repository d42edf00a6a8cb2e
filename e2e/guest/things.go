package main

import (
	"context"
	"regexp"
	"slices"
	"strings"
)

// baseline is what a machine has of the engine when nothing has happened to it.
type baseline struct {
	up, down states
}

// states are lists of what a machine may have: with and without what builds make.
type states [][]string

func (s *states) add(list []string, err error) error {
	*s = append(*s, list)
	return err
}

// differ says how a list differs from the nearest of the states; by nothing if it is one.
func (s states) differ(now []string) (lines []string) {
	for i, want := range s {
		left := append(beyond(now, want, "left is "), beyond(want, now, "missing is ")...)
		if i == 0 || len(left) < len(lines) {
			lines = left
		}
	}
	return lines
}

// beyond are the things that are there more often than they are to be.
func beyond(now, want []string, as string) (left []string) {
	count := map[string]int{}
	for _, thing := range want {
		count[thing]++
	}
	for _, thing := range now {
		if count[thing]--; count[thing] < 0 {
			left = append(left, as+thing)
		}
	}
	return left
}

// chance are the parts of names that differ from run to run.
var chance = []struct {
	pattern     *regexp.Regexp
	replacement string
}{
	{regexp.MustCompile(`[0-9a-f]{64}`), "ID"},
	{regexp.MustCompile(`\bor([0-9a-f]{4})([bv])[0-9a-f]+`), "or$1$2*"},
	{regexp.MustCompile(`shims/(\w+)-\w+`), "shims/$1-*"},
}

// things lists what the machine has of the engine, by names that are the same in
// each run.
func (t *trial) things(ctx context.Context) ([]string, error) {
	out, err := t.machine.Run(ctx, "guest", "things")
	if err != nil {
		return nil, err
	}
	return plain(out), nil
}

func plain(list string) []string {
	var all []string
	for line := range strings.Lines(list) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "file ") && strings.Contains(line, "/rootfs/") {
			continue // of an image
		}
		for _, c := range chance {
			line = c.pattern.ReplaceAllString(line, c.replacement)
		}
		all = append(all, line)
	}
	slices.Sort(all)
	return all
}
