package volume

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestVolumesAreFilledFromInsideTheImage holds what the line of the risk says.
//
// Risk unpack traversal: an image has links where a volume is filled from
// Held: they are followed inside of the image alone
func TestVolumesAreFilledFromInsideTheImage(t *testing.T) {
	outside := rootfs(t, map[string]string{"secret": "host"})
	root := rootfs(t, map[string]string{
		"data/a/file": "1", "data/link": "->" + outside + "/secret", "out": "->" + outside, "in": "->/data", "up": "->../../../../../../" + outside, "file": "x",
	})
	if err := os.Chmod(filepath.Join(root, "data"), 0o750); err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string]string{
		"/data": "a/file", "/in": "a/file", "/data/../data/": "a/file", "/out": "", "/up": "", "/none": "", "/file": "", "/../../../data": "a/file",
	} {
		data := filepath.Join(t.TempDir(), "_data")
		if err := os.Mkdir(data, 0o755); err != nil {
			t.Fatal(err)
		}
		if has, err := fillFrom(root, target, data, false); err != nil || has != (want != "") {
			t.Errorf("%s: %t, %v", target, has, err)
			continue
		}
		if _, err := os.Stat(filepath.Join(data, "secret")); err == nil {
			t.Errorf("%s: the volume holds a file of the host", target)
		}
		if want == "" {
			if entries, _ := os.ReadDir(data); len(entries) > 0 {
				t.Errorf("%s: the volume holds %v", target, entries)
			}
			continue
		}
		if _, err := os.Stat(filepath.Join(data, want)); err != nil {
			t.Errorf("%s: %v", target, err)
		}
		st, err := os.Stat(data)
		if err != nil || st.Mode().Perm() != 0o750 {
			t.Errorf("%s: the volume's mode is %v", target, st.Mode())
		}
		if to, err := os.Readlink(filepath.Join(data, "link")); err != nil || to != outside+"/secret" {
			t.Errorf("%s: a link was followed: %q, %v", target, to, err)
		}
	}
}

// Whoever has the volume mounted sees what is filled in: its directory stays.
// An engine that is killed in between leaves the rest to the next one.
func TestAVolumeIsFilledWhereItIs(t *testing.T) {
	dir := rootfs(t, map[string]string{"_part/half": "x", "_fill/b": "2", "_data/a": "1"})
	data := filepath.Join(dir, "_data")
	before, err := os.Open(data)
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	if err := finishFill(data); err != nil {
		t.Fatal(err)
	}
	if names, err := before.Readdirnames(-1); err != nil || len(names) != 2 {
		t.Errorf("%v, %v", names, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "_fill")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// A container that runs may write while the image's content is copied: what it
// wrote stays, and the volume is as good as any that was never filled.
func TestFillingAVolumeReplacesNothing(t *testing.T) {
	for name, written := range map[string]string{
		"file": "_data/a", "directory": "_data/b/mine", "file for a directory": "_data/b", "directory for a file": "_data/a/mine",
		"link": "_data/c", "empty directory": "_data/b",
	} {
		t.Run(name, func(t *testing.T) {
			root := rootfs(t, map[string]string{"data/a": "image", "data/b/theirs": "image", "data/c": "image"})
			dir := rootfs(t, map[string]string{"_data/other": "live"})
			data, at := filepath.Join(dir, "_data"), filepath.Join(dir, written)
			err := errors.Join(os.Mkdir(filepath.Join(dir, "_part"), 0o700), os.MkdirAll(filepath.Dir(at), 0o755))
			switch name {
			case "link":
				err = errors.Join(err, os.Symlink("other", at))
			case "empty directory":
				err = errors.Join(err, os.Mkdir(at, 0o755))
			default:
				err = errors.Join(err, os.WriteFile(at, []byte("live"), 0o600))
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := fillFrom(root, "/data", data, false); err != nil {
				t.Errorf("what stands in the way is an error: %v", err)
			}
			if name == "empty directory" {
				if left, err := os.ReadDir(at); err != nil || len(left) > 0 {
					t.Errorf("the directory holds %v, %v", left, err)
				}
			} else if b, err := os.ReadFile(at); err != nil || string(b) != "live" {
				t.Errorf("it reads %q, %v", b, err)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "_[pf]*")); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

func TestAnEmptyDirectoryOfAnImageTakesNoVolumeFromItsOwner(t *testing.T) {
	root := rootfs(t, map[string]string{"full/file": "x"})
	err := errors.Join(os.Mkdir(filepath.Join(root, "empty"), 0o711), os.Chmod(filepath.Join(root, "full"), 0o711))
	if err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string]os.FileMode{"/empty": 0o750, "/full": 0o711, "/none": 0o750} {
		data := filepath.Join(t.TempDir(), "_data")
		if err := os.Mkdir(data, 0o750); err != nil {
			t.Fatal(err)
		}
		if _, err := fillFrom(root, target, data, true); err != nil {
			t.Error(err)
		}
		if st, err := os.Stat(data); err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: mode %v, %v", target, st.Mode(), err)
		}
	}
}

// rootfs writes a root file system; a text that starts with -> is a link.
func rootfs(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if to, ok := strings.CutPrefix(text, "->"); ok {
			err = os.Symlink(to, path)
		} else {
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
