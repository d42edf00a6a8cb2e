package supervisor

import (
	"strings"
	"testing"
)

// TestIDsAreHostNames: of random digits, one of some 280 begins with twelve
// decimal ones.
func TestIDsAreHostNames(t *testing.T) {
	for range 5000 {
		if id := NewID(); !strings.ContainsAny(id[:12], "abcdef") {
			t.Fatalf("%s is taken for a number", id)
		}
	}
}
