package difference

import (
	"path"
	"slices"
	"strings"
)

// Taken are the files that differ between two states of a build's context, and may make a difference to a build that takes what it takes
// from these paths: what is there, below it, or above it. Where one of them leads through a link, every file may.
func Taken(old, want map[string]string, paths []string) []string {
	isTaken := func(file string) bool {
		return strings.Contains(file, ":") || // perhaps of a further context, which is taken whole
			slices.ContainsFunc(paths, func(p string) bool { return meets(p, file) })
	}
	for _, files := range []map[string]string{old, want} {
		for file, sum := range files {
			if strings.HasPrefix(sum, "link ") && slices.ContainsFunc(paths, func(p string) bool {
				return strings.Count(file, "/") <= strings.Count(p, "/") && meets(p, file)
			}) {
				return Files(old, want)
			}
		}
	}
	return slices.DeleteFunc(Files(old, want), func(file string) bool { return !isTaken(file) })
}

// meets says that a file is one that a path is of, or lies below or above one.
func meets(pattern, file string) bool {
	names, parts := strings.Split(pattern, "/"), strings.Split(file, "/")
	for i := range min(len(names), len(parts)) {
		if ok, err := path.Match(names[i], parts[i]); !ok && err == nil {
			return false
		}
	}
	return true
}
