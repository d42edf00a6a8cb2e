package remote

import (
	"strings"
	"testing"
)

// TestANameIsForOneDigest: what a reference gives is part of its name, so that one is
// never taken for another.
func TestANameIsForOneDigest(t *testing.T) {
	a, b := strings.Repeat("a", 40), strings.Repeat("b", 40)
	const x = "https://h.test/x.git"
	for text, want := range map[string]string{
		x: x, x + "#main": x + "#main", x + "#main:dir": x + "#main", x + "?ref=main": x + "#main",
		x + "?ref=main&commit=" + a: x + "#main@" + a, x + "?ref=main&commit=" + b: x + "#main@" + b,
		x + "?commit=" + a: x + "#" + a, x + "#" + a: x + "#" + a, "https://me:secret@h.test/x.git?commit=" + a: x + "#" + a,
	} {
		if got, err := parse(text); err != nil || got.name != want {
			t.Errorf("%s is named %s: %v; want %s", text, got.name, err, want)
		}
	}
	if _, err := parse(x + "#main@" + a); err == nil || !strings.Contains(err.Error(), "not the name of a branch") {
		t.Errorf("a branch named as a name with a commit: %v", err)
	}
}
