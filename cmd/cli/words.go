package cli

import (
	"cmp"
	"slices"
	"strings"

	"github.com/orlop/orlop/spec"
)

// CommandOf is the command that arguments are: a "--" before it, as kubectl has it, is no part of it.
func CommandOf(args []string) []string {
	if len(args) > 1 && args[0] == "--" {
		return args[1:]
	}
	return args
}

// Likeliest is the one of some words, of which there are any, that another one most likely means.
func Likeliest(word string, near []string) string {
	// Slips of a finger seldom hit the beginning of a word.
	near = slices.SortedStableFunc(slices.Values(near), func(x, y string) int { return commonPrefix(word, y) - commonPrefix(word, x) })
	if strings.HasPrefix(near[0], word) {
		return near[0]
	}
	return cmp.Or(spec.Nearest(word, near), near[0])
}

func commonPrefix(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}
