package stackfile

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orlop/orlop/spec"
)

// TestContextsThatAreFetched: each form that BuildKit takes, and a directory of
// that name before those that have no scheme.
func TestContextsThatAreFetched(t *testing.T) {
	for _, remote := range []string{
		"github.com/owner/repo", "github.com/owner/repo.git#v1:sub", "https://example.test/r.git", "https://example.test/r.git#main:docker/app",
		"http://example.test/context.tar.gz", "git://example.test/r#main", "ssh://git@example.test/r.git", "git@example.test:owner/r.git#main:sub",
		"deploy@example.test:r",
	} {
		for _, is := range []bool{true, false} {
			dir := t.TempDir()
			want := remote
			if !is {
				want = filepath.Join(dir, remote)
				if err := os.MkdirAll(want, 0o700); err != nil {
					t.Fatal(err)
				}
				if strings.Contains(remote, "://") {
					want = remote // no directory can be meant
				}
			}
			if err := os.WriteFile(filepath.Join(dir, "stack.yaml"), []byte("name: p\nservices:\n  a:\n    build: "+remote+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			p, _, err := Load(context.Background(), Options{Dir: dir})
			if err != nil {
				t.Fatalf("%s: %v", remote, err)
			}
			if got := p.Services["a"].Build.Context; got != want || spec.IsRemote(got) != (want == remote) {
				t.Errorf("%s, a directory of that name %t: the context is %s", remote, !is, got)
			}
		}
	}
	for _, local := range []string{"github", "./github.com/x", "a@b", "/srv/git@host:x", "with:colon"} {
		if spec.IsRemote(local) {
			t.Errorf("%s counts as remote", local)
		}
	}
}
