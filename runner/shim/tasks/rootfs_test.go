package tasks

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// What is mounted goes with its place; where more is mounted below, that goes first. What is
// gone already is no error.
func TestARootIsRemoved(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs to mount")
	}
	for what, mounts := range map[string][]string{"nothing": nil, "one": {""}, "two, one on the other": {"", ""}, "one below another": {"", "below"}} {
		at := filepath.Join(t.TempDir(), "rootfs")
		for _, m := range mounts {
			path := filepath.Join(at, m)
			if err := os.MkdirAll(path, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := unix.Mount("none", path, "tmpfs", 0, ""); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = unix.Unmount(path, unix.MNT_DETACH) })
		}
		if err := removeRoot(at); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if err := unix.Unmount(at, 0); !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
			t.Errorf("%s: still mounted: %v", what, err)
		}
		if err := removeRoot(at); err != nil {
			t.Errorf("%s, once more: %v", what, err)
		}
	}
	if err := removeRoot(""); err != nil {
		t.Error(err)
	}
}
