package display

import (
	"bytes"
	"encoding/json"
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

// masking hides the secrets of a project.
func masking(p *spec.Project) *Masker {
	m := &Masker{}
	m.Hide(p)
	return m
}

func TestSecretsAreHidden(t *testing.T) {
	m := masking(secretsOf("hunter2\n", "hunter2-longer", "first line\nsecond line\n", `quo"ted`, "abc"))
	for text, want := range map[string]string{
		"pass hunter2, twice hunter2":    "pass ***, twice ***",
		"hunter2-longer":                 "***",
		"a second line and a first line": "a *** and a ***",
		`{"x":"quo\"ted"}`:               `{"x":"***"}`,
		"abc is too short":               "abc is too short",
		"not hidden":                     "not hidden",
	} {
		if got := m.Text(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

// TestSecretsOfDocumentsAreHidden writes secrets as each encoder of the command
// does.
func TestSecretsOfDocumentsAreHidden(t *testing.T) {
	for _, secret := range []string{`a"b<c`, `p&ss<word`, `"quoted"`, `ends with "`, `back\slash>`, "line\u2028break"} {
		m := masking(secretsOf(secret))
		for _, html := range []bool{true, false} {
			var b bytes.Buffer
			enc := json.NewEncoder(&b)
			enc.SetEscapeHTML(html)
			if err := enc.Encode(map[string]string{"x": "is " + secret + "!"}); err != nil {
				t.Fatal(err)
			}
			if got, want := m.Text(b.String()), `{"x":"is ***!"}`+"\n"; got != want {
				t.Errorf("%q with HTML escapes %t is %s", secret, html, got)
			}
		}
	}
}

// TestSecretsInPiecesAreHidden writes a text in all ways to cut it once.
func TestSecretsInPiecesAreHidden(t *testing.T) {
	const text = "x canary yy cana canarycanary can"
	m := masking(secretsOf("canary"))
	for i := range len(text) + 1 {
		var out bytes.Buffer
		w, flush := m.Writer(&out)
		for _, part := range []string{text[:i], text[i:]} {
			if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
				t.Fatal(n, err)
			}
			if strings.Contains(out.String(), "canary") {
				t.Fatalf("cut at %d it prints %q", i, out.String())
			}
		}
		flush()
		if got := out.String(); got != "x *** yy cana ****** can" {
			t.Errorf("cut at %d it is %q", i, got)
		}
	}
}

func TestAByteAtATimeIsHidden(t *testing.T) {
	var out bytes.Buffer
	w, flush := masking(secretsOf("abcabd")).Writer(&out)
	for _, b := range []byte("abcabcabd!") {
		_, _ = w.Write([]byte{b})
	}
	flush()
	if out.String() != "abc***!" {
		t.Errorf("%q", out.String())
	}
}

// TestAReloadForgetsNoSecret has a secret change beside what goes on: what
// runs still has the old one.
func TestAReloadForgetsNoSecret(t *testing.T) {
	var out bytes.Buffer
	o := NewOutput(&out, &out)
	o.HideSecrets()
	o.Mask.Hide(secretsOf("the-old-one"))
	o.Mask.Hide(secretsOf("the-old-one-and-more"))
	_, _ = o.Out.Write([]byte("the-old-one, the-old-one-and-more!"))
	o.Flush()
	if out.String() != "***, ***!" {
		t.Errorf("what is printed is %q", out.String())
	}
}
