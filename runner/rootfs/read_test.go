package rootfs

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
	write(volume, "in/d.xml", "d")
	write(outside, "secret.xml", "secret")
	if err := os.Symlink(outside, filepath.Join(root, "out", "escape")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(outside, "secret.xml"), filepath.Join(root, "out", "link.xml")); err != nil {
		t.Fatal(err)
	}
	for pattern, want := range map[string]string{
		"/out/*.xml":        "/out/a.xml=a",
		"/out/**/*.xml":     "/out/a.xml=a /out/deep/b.xml=b /out/vol/c.xml=c /out/vol/in/d.xml=d",
		"/out/vol/c.xml":    "/out/vol/c.xml=c",
		"/nothing/*":        "",
		"/sub/*.xml":        "/sub/d.xml=d",
		"/out/escape/*.xml": "",
	} {
		var got []string
		all := append(trees(root, []specs.Mount{{Type: "bind", Destination: "/out/vol", Source: volume}}),
			tree{target: "/sub", source: volume, inside: "in"})
		f := newFileReader(all, func(name string, content io.Reader) error {
			text, err := io.ReadAll(content)
			got = append(got, name+"="+string(text))
			return err
		})
		if err := f.read(context.Background(), pattern); err != nil {
			t.Errorf("%s: %v", pattern, err)
		}
		slices.Sort(got)
		if text := strings.Join(got, " "); text != want {
			t.Errorf("%s gives %q, want %q", pattern, text, want)
		}
	}
}

func TestWhatIsReadIsBoundedInAll(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		if err := os.WriteFile(filepath.Join(root, name), []byte("1234"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	given := 0
	f := newFileReader(trees(root, nil), func(string, io.Reader) error { given++; return nil })
	f.left = 8
	err := f.read(context.Background(), "/*")
	if given != 2 || err == nil || !strings.Contains(err.Error(), "name fewer") {
		t.Errorf("%d files are given, and then %v", given, err)
	}
}

func TestAPathOutOfAVolumeIsNotRead(t *testing.T) {
	volume, outside := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(volume, "out")); err != nil {
		t.Fatal(err)
	}
	f := newFileReader([]tree{{target: "/x", source: volume, inside: "out"}}, func(name string, _ io.Reader) error {
		t.Errorf("%s is given", name)
		return nil
	})
	if err := f.read(context.Background(), "/x/*"); err == nil {
		t.Error("a path that leads out of a volume is read")
	}
}
