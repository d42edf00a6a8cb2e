package userfile

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestWhatTookAFilesPlaceIsNotRead: a program of root reads a file again that another
// user may have replaced meanwhile.
func TestWhatTookAFilesPlaceIsNotRead(t *testing.T) {
	for name, tt := range map[string]struct {
		replace func(dir string) error // dir/in/key is the file, dir/shadow another's
		want    error
	}{
		"nothing":              {func(string) error { return nil }, nil},
		"a new version":        {func(d string) error { return os.WriteFile(d+"/in/key", []byte("mine"), 0o600) }, nil},
		"gone":                 {func(d string) error { return os.Remove(d + "/in/key") }, os.ErrNotExist},
		"a link":               {func(d string) error { return replaced(d+"/in/key", os.Symlink(d+"/shadow", d+"/new"), d+"/new") }, ErrMoved},
		"a link to itself":     {func(d string) error { return replaced(d+"/in/key", os.Symlink(d+"/in/key", d+"/new"), d+"/new") }, ErrMoved},
		"a directory's link":   {func(d string) error { return linkedDir(d) }, ErrMoved},
		"a hard link":          {func(d string) error { return replaced(d+"/in/key", os.Link(d+"/shadow", d+"/new"), d+"/new") }, ErrMoved},
		"a pipe":               {func(d string) error { return replaced(d+"/in/key", mkfifo(d+"/new"), d+"/new") }, ErrNotRegular},
		"one that is too long": {func(d string) error { return os.Truncate(d+"/in/key", 1<<20) }, &TooLarge{1 << 10}},
	} {
		t.Run(name, func(t *testing.T) {
			dir, err := filepath.EvalSymlinks(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			owner := os.Getuid()
			if owner == 0 {
				owner = 1234
			} else if name == "a hard link" {
				t.Skip("only root can make another's file")
			}
			if err := errors.Join(os.Mkdir(dir+"/in", 0o755), os.WriteFile(dir+"/in/key", []byte("mine"), 0o600), os.WriteFile(dir+"/shadow", []byte("root's"), 0o600),
				os.Chown(dir+"/in/key", owner, -1), os.Symlink("in/key", dir+"/named")); err != nil {
				t.Fatal(err)
			}
			at, err := Locate(dir + "/named")
			if err != nil || at.Path != dir+"/in/key" || at.Owner != uint32(owner) {
				t.Fatalf("found at %+v, %v", at, err)
			}
			if err := tt.replace(dir); err != nil {
				t.Fatal(err)
			}
			if name == "a pipe" {
				if err := os.Chown(dir+"/in/key", owner, -1); err != nil {
					t.Fatal(err)
				}
			}
			content, err := at.Read(1 << 10)
			var long *TooLarge
			switch {
			case errors.As(tt.want, &long):
				if !errors.As(err, &long) {
					t.Errorf("read %d bytes, %v", len(content), err)
				}
			case tt.want == nil && (err != nil || string(content) != "mine"), tt.want != nil && !errors.Is(err, tt.want):
				t.Errorf("read %q, %v; want %v", content, err, tt.want)
			}
		})
	}
}

func replaced(path string, err error, by string) error {
	if err != nil {
		return err
	}
	return os.Rename(by, path)
}

func linkedDir(dir string) error {
	return errors.Join(os.Mkdir(dir+"/else", 0o755), os.Rename(dir+"/in/key", dir+"/else/key"), os.Remove(dir+"/in"), os.Symlink("else", dir+"/in"))
}

func mkfifo(path string) error { return syscall.Mkfifo(path, 0o600) }
