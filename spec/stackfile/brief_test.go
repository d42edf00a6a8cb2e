package stackfile

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
)

// TestWarningsAreOneLineAKeyOrVariable holds what is said of a big stack.
func TestWarningsAreOneLineAKeyOrVariable(t *testing.T) {
	for _, test := range []struct{ name, file, want string }{
		{"a variable", `services:
  a: {image: a, user: "${PORT}", command: "run ${PORT} ${ONE}"}
  b: {image: a, hostname: "h${PORT}"}`,
			"PORT is not set: empty in 3 places (first stack.yaml:2)\nONE is not set: empty (stack.yaml:2)"},
		{"an obsolete key", "version: '3'\nservices: {a: {image: a}}",
			"version: obsolete and without meaning (stack.yaml:1); remove it"},
		{"what is said of a value", `services:
  a: {image: a, labels: {x: 010}}
  b: {image: a, labels: {x: 010}}`,
			`services.*.labels.x: 010 is not text for YAML and becomes "8", 2 services (first stack.yaml:2); quote it: "010"`},
		{"a list", "services:\n  a: {image: a, configs: [{source: s, mode: 444}, {source: t, mode: 444}]}\nconfigs: {s: {content: x}, t: {content: x}}",
			"services.*.configs.mode: 444 is a decimal number: the mode becomes 0674, 2 places (first stack.yaml:2); write 0444 for octal"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "stack.yaml"), test.file)
			_, diagnostics, err := Load(context.Background(), Options{Dir: dir, Name: "p"})
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(diagnostics.Warnings().Brief(), "\n"); got != test.want {
				t.Errorf("said is\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}
