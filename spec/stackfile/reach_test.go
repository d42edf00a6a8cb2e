package stackfile

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestNothingRemoteIsRead: the loader itself fetches nothing.
//
// Risk include traversal: include and extends name addresses, git repositories and images
// Held: the loader reads local files only, unless its caller fetches them; the place is told
// Risk yaml bombs: aliases that contain each other nine deep, and a list within a list 20,000 deep
// Held: refused in a moment
// Risk variables: a variable that is not set stands in the source of a mount and in an image
// Held: an error with its place; --allow-unset allows it
func TestNothingRemoteIsRead(t *testing.T) {
	bomb := "a0: &a0 [x,x,x,x,x,x,x,x,x]\n"
	for i := 1; i < 9; i++ {
		n, o := string(rune('0'+i)), string(rune('0'+i-1))
		bomb += "a" + n + ": &a" + n + " [" + strings.TrimSuffix(strings.Repeat("*a"+o+",", 9), ",") + "]\n"
	}
	for text, want := range map[string]string{
		"include: [oci://evil.example/stack:1]\nservices: {a: {image: x}}\n":            "only local files can be included",
		"include: ['https://evil.example/stack.yaml']\nservices: {a: {image: x}}\n":     "only local files can be included",
		"services: {a: {extends: {file: 'https://evil.example/x.yaml', service: a}}}\n": "only local files can be extended",
		"services: {a: {image: x, volumes: ['${NOPE}/:/data']}}\n":                      "NOPE",
		"services: {a: {image: '${NOPE}'}}\n":                                           "NOPE",
		"x-" + bomb + "services: {a: {image: x}}\n":                                     "",
		"services: {a: {image: x, labels: " + strings.Repeat("[", 20_000) + "}}\n":      "not valid YAML",
	} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "stack.yaml"), text)
		if got := loadSoon(t, Options{Dir: dir, Name: "p"}); !strings.Contains(got, want) || got == "" {
			t.Errorf("%.60q: said is %q, want %q", text, got, want)
		}
	}
}
