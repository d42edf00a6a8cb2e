package cmd

import (
	"bytes"
	"strings"
	"testing"

	"github.com/orlop/orlop/spec"
)

func secretsOf(contents ...string) *spec.Project {
	p := &spec.Project{Payloads: map[string]spec.Payload{"configs.open": {Content: []byte("not hidden")}}}
	for i, c := range contents {
		p.Payloads["secrets."+string(rune('a'+i))] = spec.Payload{Content: []byte(c), Secret: true}
	}
	return p
}

func TestSecretsAreHidden(t *testing.T) {
	m := newMasker(secretValues(secretsOf("hunter2\n", "hunter2-longer", "first line\nsecond line\n", `quo"ted`, "abc")))
	for text, want := range map[string]string{
		"pass hunter2, twice hunter2":    "pass ***, twice ***",
		"hunter2-longer":                 "***",
		"a second line and a first line": "a *** and a ***",
		`{"x":"quo\"ted"}`:               `{"x":"***"}`,
		"abc is too short":               "abc is too short",
		"not hidden":                     "not hidden",
	} {
		if got := m.text(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

// TestSecretsInPiecesAreHidden writes a text in all ways to cut it once.
func TestSecretsInPiecesAreHidden(t *testing.T) {
	const text = "x canary yy cana canarycanary can"
	m := newMasker(secretValues(secretsOf("canary")))
	for i := range len(text) + 1 {
		var out bytes.Buffer
		w := &maskedWriter{w: &out, mask: m}
		for _, part := range []string{text[:i], text[i:]} {
			if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
				t.Fatal(n, err)
			}
			if strings.Contains(out.String(), "canary") {
				t.Fatalf("cut at %d it prints %q", i, out.String())
			}
		}
		w.flush()
		if got := out.String(); got != "x *** yy cana ****** can" {
			t.Errorf("cut at %d it is %q", i, got)
		}
	}
}

func TestAByteAtATimeIsHidden(t *testing.T) {
	var out bytes.Buffer
	w := &maskedWriter{w: &out, mask: newMasker(secretValues(secretsOf("abcabd")))}
	for _, b := range []byte("abcabcabd!") {
		_, _ = w.Write([]byte{b})
	}
	w.flush()
	if out.String() != "abc***!" {
		t.Errorf("%q", out.String())
	}
}
