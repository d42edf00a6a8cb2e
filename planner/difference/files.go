package difference

import (
	"maps"
	"slices"
	"strings"

	"github.com/orlop/orlop/spec"
)

// Merged are the entries of two mappings; those of the second come first.
func Merged(a, b map[string]string) map[string]string {
	m := maps.Clone(a)
	if m == nil {
		m = map[string]string{}
	}
	maps.Copy(m, b)
	return m
}

// Files are the files of which two mappings to digests tell otherwise, sorted; none where
// one of them is not known.
func Files(old, want map[string]string) []string {
	if old == nil || want == nil {
		return nil
	}
	var files []string
	for _, f := range slices.Sorted(maps.Keys(Merged(old, want))) {
		if old[f] != want[f] {
			files = append(files, f)
		}
	}
	return files
}

// Listed shows a number of files and the first three of them.
func Listed(files []string) string {
	n := len(files)
	shown := strings.Join(files[:min(n, 3)], ", ")
	if n > 3 {
		shown += ", ..."
	}
	return spec.Plural(n, "file") + ": " + shown
}

// Texts are a mapping as Trees takes it.
func Texts(m map[string]string) any {
	all := map[string]any{}
	for key, value := range m {
		all[key] = value
	}
	return all
}

// Named is a text that may be left out, as Of takes it.
func Named(text string) any {
	if text == "" {
		return Unset{}
	}
	return text
}

// Option is what a command line says of a build, by the name that the build has it by.
func Option(name string) string {
	if strings.HasPrefix(name, "--") {
		return name
	}
	return "--build-arg " + name
}
