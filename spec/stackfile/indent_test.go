package stackfile

import (
	"strings"
	"testing"
)

// TestAWrongIndentIsFoundWhereItIs, not where the mapping begins that it is in.
func TestAWrongIndentIsFoundWhereItIs(t *testing.T) {
	for text, want := range map[string]string{
		"services:\n  web:\n    image: busybox\n   ports: [\"80\"]\n":                                      "<stdin>:4:4: not valid YAML: did not find expected key",
		"services:\n  web:\n    image: busybox\n    ports:\n      - \"80\"\n     - \"81\"\n    user: me\n": "<stdin>:6:6: not valid YAML: did not find expected",
		"services:\n  web:\n    image: a\n    build: .\n  db:\n    image: b\n   x: 1\n":                    "<stdin>:7:4: not valid YAML: did not find expected key",
	} {
		if got := mistakesOf(t, text); !strings.Contains(got, want) {
			t.Errorf("%q\n%s\nwant %s", text, got, want)
		}
	}
}
