package stackfile_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/stackfile"
)

func TestBrokenBracketsHaveTheirPlace(t *testing.T) {
	for text, want := range map[string]string{
		"services:\n  a:\n    environment:\n      PACKNG: [3s\n    image: x\n":                                              "4:15 close the [ with ]",
		"services:\n  a:\n    command: [sleep, \"1000\"\n    image: x\n":                                                    "3:14 close the [ with ]",
		"services:\n  a:\n    command: [sleep, \"1000\"\n":                                                                  "3:14 close the [ with ]",
		"services:\n  a:\n    image: x\n    environment: [A=${NOPE}]\n    command: x\n":                                     `4:19 quote ${...} inside of [ ]: "A=${NOPE}"`,
		"services:\n  a:\n    image: x\n    labels: {a: b\n    command: x\n":                                                "4:13 close the { with }",
		"services:\n  a:\n    image: x\n    ports: [80:80}\n":                                                               "4:12 close the [ with ]",
		"services:\n  a:\n    ports:\n    - [80:80\n    - 90\n":                                                             "4:7 close the [ with ]",
		"services:\n  a:\n    command: [é, \"]\", 'it''s ]', [b]\n    image: x\n":                                           "3:14 close the [ with ]",
		"services:\n  a:\n    command: |\n      echo [\n    labels: {ok: [a,\n      b]} # [\n    ports: [1, [2, 3]\n  b:\n": "7:12 close the [ with ]",
		"services:\n  a:\n    image: \"x [\"\n    # [\n    entrypoint: say [ it\n    command: [a, \"\\\"]\", ${B}/c]\n":     `6:25 quote ${...} inside of [ ]: "${B}/c"`,
		"services:\n  a: {image: x, command: [sleep, \"1\"}\n":                                                              "2:26 close the [ with ]",
		"services:\n  \"a\": &it !!map {image: x\n  b: {image: y}\n":                                                        "2:18 close the { with }",
		"services:\n  a:\n    command: [a, x[1], b]\n":                                                                      `3:18 quote text with brackets inside of [ ]: "x[1]"`,
	} {
		_, _, err := stackfile.Load(context.Background(), stackfile.Options{Files: []string{"-"}, Dir: t.TempDir(), Stdin: strings.NewReader(text)})
		var mistakes *spec.Mistakes
		if !errors.As(err, &mistakes) || len(mistakes.Diagnostics) != 1 {
			t.Errorf("%s\nerror is %v", text, err)
			continue
		}
		d := mistakes.Diagnostics[0]
		if got := fmt.Sprintf("%d:%d %s", d.Place.Line, d.Place.Column, d.Hint); got != want {
			t.Errorf("%s\n%s (%s), want %s", text, got, d.Message, want)
		}
	}
}
