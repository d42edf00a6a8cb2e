package runner

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestMatchPath(t *testing.T) {
	for _, test := range []struct {
		pattern, name string
		want          bool
	}{
		{"/out/*.xml", "/out/a.xml", true},
		{"/out/*.xml", "/out/in/a.xml", false},
		{"/out/**/*.xml", "/out/a.xml", true},
		{"/out/**/*.xml", "/out/in/deep/a.xml", true},
		{"/out/**", "/out/in/a.xml", true},
		{"/out/a.xml", "/out/a.xml", true},
		{"/out/a.xml", "/out", false},
		{"/**/a.xml", "/a.xml", true},
		{"/out/[", "/out/[", false},
		{"/**/x/**/y", "/a/x/b/c/y", true},
		{"/**/x/**/y", "/a/x/b/c/z", false},
	} {
		if got := matchPath(test.pattern, test.name); got != test.want {
			t.Errorf("%s and %s: %t", test.pattern, test.name, got)
		}
	}
}

func TestFilesAreReadWhereTheContainerHasThem(t *testing.T) {
	root, volume, outside := t.TempDir(), t.TempDir(), t.TempDir()
	write := func(dir, name, text string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(root, "out/a.xml", "a")
	write(root, "out/deep/b.xml", "b")
	write(root, "out/vol/hidden.xml", "hidden")
	write(volume, "c.xml", "c")
	write(outside, "secret.xml", "secret")
	if err := os.Symlink(outside, filepath.Join(root, "out", "escape")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(outside, "secret.xml"), filepath.Join(root, "out", "link.xml")); err != nil {
		t.Fatal(err)
	}
	for pattern, want := range map[string]string{
		"/out/*.xml":        "/out/a.xml=a",
		"/out/**/*.xml":     "/out/a.xml=a /out/deep/b.xml=b /out/vol/c.xml=c",
		"/out/vol/c.xml":    "/out/vol/c.xml=c",
		"/nothing/*":        "",
		"/out/escape/*.xml": "",
	} {
		var got []string
		f := &fileReader{trees: trees(root, []specs.Mount{{Type: "bind", Destination: "/out/vol", Source: volume}}), seen: map[string]bool{},
			each: func(name string, content io.Reader) error {
				text, err := io.ReadAll(content)
				got = append(got, name+"="+string(text))
				return err
			}}
		if err := f.read(context.Background(), pattern); err != nil {
			t.Errorf("%s: %v", pattern, err)
		}
		slices.Sort(got)
		if text := strings.Join(got, " "); text != want {
			t.Errorf("%s gives %q, want %q", pattern, text, want)
		}
	}
}
