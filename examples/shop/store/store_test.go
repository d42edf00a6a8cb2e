package store

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPasswordComesFromItsFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("a/b c\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := withPassword("postgres://shop@db/shop?sslmode=disable", file)
	if want := "postgres://shop:a%2Fb%20c@db/shop?sslmode=disable"; err != nil || got != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	for _, bad := range []string{"", "http://shop@db/shop", "postgres://db/shop"} {
		if _, err := withPassword(bad, file); err == nil || !strings.Contains(err.Error(), "DATABASE_URL") {
			t.Errorf("%q: got error %v, want one that names DATABASE_URL", bad, err)
		}
	}
	if _, err := withPassword("postgres://shop@db/shop", file+".missing"); err == nil {
		t.Error("a missing password file went unnoticed")
	}
}
