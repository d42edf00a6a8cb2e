package cli

import (
	"strings"
	"testing"
)

func TestAnAliasIsANameThatCanBeAskedFor(t *testing.T) {
	for name, want := range map[string]bool{
		"db": true, "a_b": true, "UPPER": true, "db.example": true, "1": true, "_srv": true, strings.Repeat("a", 63): true,
		"": false, "a b": false, "-x": false, "x-": false, "a/b": false, "a\nb": false, "a..b": false, "ü": false, ".a": false, strings.Repeat("a", 64): false, strings.Repeat("a.", 127) + "a": false,
	} {
		if err := CheckAliases("alias", []string{"ok", name}); (err == nil) != want {
			t.Errorf("%q: %v", name, err)
		}
	}
}
