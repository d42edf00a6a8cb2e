package display

import (
	"bytes"
	"testing"
)

// TestAReloadForgetsNoSecret has a secret change beside what goes on: what
// runs still has the old one.
func TestAReloadForgetsNoSecret(t *testing.T) {
	var out bytes.Buffer
	o := NewOutput(&out, &out)
	o.Mask.Add([]byte("the-old-one"))
	_, _ = o.Out.Write([]byte("the-old-one is a user's own; "))
	o.HideSecrets()
	o.Mask.Add([]byte("the-old-one-and-more"))
	_, _ = o.Out.Write([]byte("the-old-one, the-old-one-and-more, the-"))
	_, _ = o.Out.Write([]byte("old"))
	o.Flush()
	if want := "the-old-one is a user's own; ***, ***, the-old"; out.String() != want {
		t.Errorf("what is printed is %q, want %q", out.String(), want)
	}
}
