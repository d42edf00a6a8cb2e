package runner

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

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
	root := rootfs(t, map[string]string{"data/a": "1", "data/b": "2"})
	data := filepath.Join(rootfs(t, map[string]string{"_part/half": "x"}), "_data")
	if err := os.MkdirAll(filepath.Join(data, "b"), 0o755); err != nil { // in the way
		t.Fatal(err)
	}
	before, err := os.Open(data)
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	if _, err := fillFrom(root, "/data", data, false); err == nil {
		t.Fatal("a file was put in place of a directory")
	}
	if err := os.Remove(filepath.Join(data, "b")); err != nil {
		t.Fatal(err)
	}
	if err := finishFill(data); err != nil {
		t.Fatal(err)
	}
	if names, err := before.Readdirnames(-1); err != nil || len(names) != 2 {
		t.Errorf("%v, %v", names, err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(data), "_[pf]*")); len(left) > 0 {
		t.Errorf("left: %v", left)
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
