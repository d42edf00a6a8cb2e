package terminal

import (
	"bytes"
	"testing"
)

func TestDetachKeysAreKeptBackUntilTheyAreWhole(t *testing.T) {
	for name, c := range map[string]struct {
		keys     string
		typed    []string
		passed   string
		detached bool
	}{
		"whole":             {"ctrl-p,ctrl-q", []string{"ls\n\x10\x11"}, "ls\n", true},
		"in two":            {"ctrl-p,ctrl-q", []string{"a\x10", "\x11"}, "a", true},
		"half":              {"ctrl-p,ctrl-q", []string{"\x10", "x"}, "\x10x", false},
		"begun twice":       {"ctrl-p,ctrl-q", []string{"\x10\x10\x11"}, "\x10", true},
		"others":            {"ctrl-],x", []string{"\x10\x11\x1dx"}, "\x10\x11", true},
		"delete":            {"ctrl-_,DEL", []string{"\x1f\x7f"}, "", true},
		"none":              {"", []string{"\x10\x11"}, "\x10\x11", false},
		"what follows goes": {"q", []string{"aqb"}, "a", true},
	} {
		keys, err := parseKeys(c.keys)
		if err != nil {
			t.Fatal(err)
		}
		d := detacher{keys: keys}
		var passed bytes.Buffer
		detached := false
		for _, typed := range c.typed {
			var out []byte
			if out, detached = d.pass([]byte(typed)); true {
				passed.Write(out)
			}
		}
		if passed.String() != c.passed || detached != c.detached {
			t.Errorf("%s: %q was passed on, detached %t", name, passed.String(), detached)
		}
	}
	for _, bad := range []string{"ctrl", "ctrl-", "ctrl-1", "shift-a", "a,,b"} {
		if _, err := parseKeys(bad); err == nil {
			t.Errorf("%q is taken for keys", bad)
		}
	}
}
