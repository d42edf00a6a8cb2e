package stackfile

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// TestWhatNoProgramCanBeStartedWithIsRefused: by its place, not by the kernel's word
// once its container is up.
func TestWhatNoProgramCanBeStartedWithIsRefused(t *testing.T) {
	longest := strings.Repeat("x", 128<<10-1) // MAX_ARG_STRLEN without its end
	for text, want := range map[string]string{
		`command: [sh, "` + longest + `"]`:                  "",
		`command: [sh, "` + longest + `x"]`:                 "services.a.command[1]: the argument has 131072 bytes",
		`entrypoint: ["` + longest + `x"]`:                  "services.a.entrypoint[0]: the argument has 131072 bytes",
		`environment: {A: "` + longest[2:] + `"}`:           "",
		`environment: {A: "` + longest[1:] + `"}`:           "services.a.environment.A: the variable has 131072 bytes",
		`environment: ["A=` + longest[1:] + `"]`:            "services.a.environment.A: the variable has 131072 bytes",
		`command: ["a\0b"]`:                                 "services.a.command[0]: the argument holds a NUL character",
		`environment: {A: "a\0b"}`:                          "services.a.environment.A: the variable holds a NUL character",
		`environment: {"": x}`:                              "services.a.environment: a variable has no name",
		`environment: ["=x"]`:                               "services.a.environment: a variable has no name",
		`environment: {A: "1"}` + "\n    env_file: big.env": "services.a.environment.BIG: the variable has 131076 bytes",
	} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "compose.yaml"), fmt.Sprintf("services:\n  a:\n    image: i\n    %s\n", text))
		write(t, filepath.Join(dir, "big.env"), "BIG="+longest+"x\n")
		_, found, err := Load(t.Context(), Options{Dir: dir})
		if err != nil && found == nil {
			t.Fatal(err)
		}
		errors := found.Errors()
		switch {
		case want == "" && len(errors) > 0, want != "" && len(errors) != 1:
			t.Errorf("%.40s: %d mistakes, want %q", text, len(errors), want)
		case want != "" && !strings.Contains(errors[0].String(), want):
			t.Errorf("%.40s: %.200s, want %q", text, errors[0], want)
		}
	}
}
