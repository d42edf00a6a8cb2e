package temporary

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// What is mounted is another's to keep: an image that an engine was killed over.
func TestWhatAKilledEngineLeftMountedIsUnmounted(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root: it mounts")
	}
	image, dir := t.TempDir(), filepath.Join(t.TempDir(), "tmp")
	file := filepath.Join(image, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(dir, "containerd-mount1", "deep")
	if err := os.MkdirAll(at, 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 { // one over the other
		if err := unix.Mount(image, at, "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := Clear(dir); err != nil {
		t.Fatal(err)
	}
	if left, _ := mountinfo.GetMounts(mountinfo.PrefixFilter(dir)); len(left) > 0 {
		t.Errorf("mounted is %s", left[0].Mountpoint)
	}
	if _, err := os.Stat(file); err != nil {
		t.Errorf("what was mounted is gone: %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("left is %v, %v", entries, err)
	}
}
