package display

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What stands in a file's place is replaced if it is a file, where links lead, and keeps its mode.
func TestReplaceWith(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string) error {
		return ReplaceWith(at(name), 0o666, func(out io.Writer) error {
			_, err := io.WriteString(out, "new")
			return err
		})
	}
	for name, err := range map[string]error{
		"file": os.WriteFile(at("file"), []byte("old"), 0o640), "link": os.Symlink("file", at("link")), "nothing": os.Symlink("missing", at("nothing")), "dir": os.Mkdir(at("dir"), 0o700),
	} {
		if err != nil {
			t.Fatal(name, err)
		}
	}
	for name, want := range map[string]string{"link": "", "fresh": "", "nothing": "it is a symbolic link to nothing", "dir": "it is a directory"} {
		if err := write(name); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	text, err := os.ReadFile(at("file"))
	is, serr := os.Stat(at("file"))
	if err != nil || serr != nil || string(text) != "new" || is.Mode().Perm() != 0o640 {
		t.Errorf("the file has %q and the mode %v (%v, %v)", text, is.Mode(), err, serr)
	}
	if link, err := os.Readlink(at("link")); err != nil || link != "file" {
		t.Errorf("the link is %q, %v", link, err)
	}
	plain, err := os.Create(at("plain")) // as the umask has it
	if err != nil {
		t.Fatal(err)
	}
	plain.Close()
	made, _ := os.Stat(at("plain"))
	if fresh, err := os.Stat(at("fresh")); err != nil || fresh.Mode() != made.Mode() {
		t.Errorf("a new file has the mode %v, want %v (%v)", fresh.Mode(), made.Mode(), err)
	}
	if left, _ := filepath.Glob(at(".*")); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
}
