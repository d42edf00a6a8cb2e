package secret

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func masking(contents ...string) *Mask {
	m := &Mask{}
	for _, c := range contents {
		m.Add([]byte(c))
	}
	return m
}

func TestSecretsAreHidden(t *testing.T) {
	m := masking("hunter2\n", "hunter2-longer", "first line\nsecond line\n", `quo"ted`, "abc")
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
		if got := string(m.Bytes([]byte(text))); got != want {
			t.Errorf("the bytes of %q become %q, want %q", text, got, want)
		}
	}
}

func TestAMaskThatKnowsNothingHidesNothing(t *testing.T) {
	for name, m := range map[string]*Mask{"none": nil, "an empty one": {}, "one of what is too short": masking("abc", " \n")} {
		if !m.IsEmpty() || m.Text("abc") != "abc" || m.Cut("abc") != "abc" || string(m.Bytes([]byte("abc"))) != "abc" {
			t.Errorf("%s hides something", name)
		}
	}
}

// TestSecretsOfDocumentsAreHidden writes secrets as each encoder does.
func TestSecretsOfDocumentsAreHidden(t *testing.T) {
	for _, secret := range []string{`a"b<c`, `p&ss<word`, `"quoted"`, `ends with "`, `back\slash>`, "line\u2028break"} {
		m := masking(secret)
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

// TestASecretThatIsCutOffIsHidden: an output of which the first bytes are kept
// may end in the middle of one.
func TestASecretThatIsCutOffIsHidden(t *testing.T) {
	m := masking("canary")
	for text, want := range map[string]string{
		"it is cana":   "it is ***",
		"it is canary": "it is ***",
		"it is c":      "it is ***",
		"it is over":   "it is over",
	} {
		if got := m.Cut(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

// TestSecretsInPiecesAreHidden writes a text in all ways to cut it once.
func TestSecretsInPiecesAreHidden(t *testing.T) {
	const text = "x canary yy cana canarycanary can"
	m := masking("canary")
	for i := range len(text) + 1 {
		var out bytes.Buffer
		w := NewWriter(&out, m)
		for _, part := range []string{text[:i], text[i:]} {
			if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
				t.Fatal(n, err)
			}
			if strings.Contains(out.String(), "canary") {
				t.Fatalf("cut at %d it prints %q", i, out.String())
			}
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); got != "x *** yy cana ****** can" {
			t.Errorf("cut at %d it is %q", i, got)
		}
	}
}

func TestAByteAtATimeIsHidden(t *testing.T) {
	var out bytes.Buffer
	w := NewWriter(&out, masking("abcabd"))
	for _, b := range []byte("abcabcabd!") {
		if _, err := w.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil || out.String() != "abc***!" {
		t.Errorf("%q, %v", out.String(), err)
	}
	if w.Unwrap() != &out {
		t.Error("it does not say what it writes to")
	}
}

// TestAMaskForgetsNothing has a secret change beside what goes on: what runs
// still has the old one.
func TestAMaskForgetsNothing(t *testing.T) {
	m := masking("the-old-one")
	goesOn := &Stream{Mask: m}
	before := goesOn.Push("the-old-one, the-old")
	m.Add([]byte("the-old-one-and-more"))
	after := goesOn.Push("-one-and-more!")
	if got := before + after + goesOn.Rest(); got != "***, ***!" {
		t.Errorf("what goes on shows %q", got)
	}
	if got := m.Text("the-old-one, the-old-one-and-more"); got != "***, ***" {
		t.Errorf("the mask gives %q", got)
	}
}

// TestOneSecretInAnother: in all ways to cut a text twice, what is shown is what
// would be shown of the whole.
func TestOneSecretInAnother(t *testing.T) {
	m := masking("the-old-one", "the-old-one-and-more", "abcd", "cdef", "more-abcd")
	for _, text := range []string{"x the-old-one-and-more y the-old-one z", "abcdef xabcd cdef", "the-old-one-and-more-abcd!", "the-old-one-and"} {
		want := m.Text(text)
		for i := range len(text) + 1 {
			for j := i; j <= len(text); j++ {
				s := &Stream{Mask: m}
				if got := s.Push(text[:i]) + s.Push(text[i:j]) + s.Push(text[j:]) + s.Rest(); got != want {
					t.Errorf("%q cut at %d and %d shows %q, whole %q", text, i, j, got, want)
				}
			}
		}
	}
}

// BenchmarkALineBesideABundle is a line of a build's output, where one of the
// secrets is a bundle of certificates.
func BenchmarkALineBesideABundle(b *testing.B) {
	var bundle strings.Builder
	for i := range 3400 {
		fmt.Fprintf(&bundle, "%064d\n", i*7919)
	}
	s := &Stream{Mask: masking(bundle.String())}
	for b.Loop() {
		s.Push("#12 3.456 go: downloading github.com/containerd/containerd/v2 v2.3.6 and more of it\n")
	}
}
