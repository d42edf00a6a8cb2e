package display

import (
	"bytes"
	"testing"
)

// What is not drawn on leaves the terminal to the program that has it next.
func TestNothingOverNothingWritesNothing(t *testing.T) {
	var out bytes.Buffer
	c := NewCanvas(&out)
	c.Draw(nil, 80)
	if out.Len() > 0 {
		t.Errorf("%q is written", out.String())
	}
	c.Draw([]string{"one"}, 80)
	out.Reset()
	if c.Draw(nil, 80); out.Len() == 0 {
		t.Error("what was drawn stays")
	}
}
