package keeper

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestStateIsOnATmpfsWhileItIsUsed(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: only root mounts")
	}
	disk := "/var/tmp"
	if isTmpfs(t, disk) {
		t.Skip("SKIPPED: there is no disk at " + disk)
	}
	dir, err := os.MkdirTemp(disk, "orlop-state-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.Unmount(dir, unix.MNT_DETACH)
		os.RemoveAll(dir)
	})
	for range 2 { // the second finds it as it should be
		if err := mountState(dir); err != nil {
			t.Fatal(err)
		}
	}
	if !isTmpfs(t, dir) {
		t.Fatal("the state directory is on the disk")
	}
	f, err := os.Create(filepath.Join(dir, "used"))
	if err != nil {
		t.Fatal(err)
	}
	if gone, err := unmountState(dir); gone || err != nil {
		t.Errorf("with an open file: gone %t, %v", gone, err)
	}
	f.Close()
	// Somebody starts the next keeper: it must find what it has looked at.
	root, lock := t.TempDir(), openFile(t, filepath.Join(dir, lockName))
	starting, err := lockStart(t.Context(), filepath.Join(root, startLockName))
	if err != nil {
		t.Fatal(err)
	}
	if err := leaveState(root, dir, lock); err != nil || !isTmpfs(t, dir) {
		t.Errorf("while the next one is started: %v", err)
	}
	starting()
	if gone, err := unmountState(dir); !gone || err != nil {
		t.Errorf("with nobody there: gone %t, %v", gone, err)
	}
	if isTmpfs(t, dir) {
		t.Error("it was mounted twice")
	}
}

func TestStateThatIsInUseOrOthersIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "orlop.sock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	before := isTmpfs(t, dir)
	if err := mountState(dir); err != nil || isTmpfs(t, dir) != before {
		t.Errorf("mounted over what is there: %v", err)
	}
	if gone, err := unmountState("/proc"); !gone || err != nil {
		t.Errorf("a mount of others: gone %t, %v", gone, err)
	}
	if _, err := os.Stat("/proc/self"); err != nil {
		t.Error("a mount of others was taken away")
	}
}

func openFile(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func isTmpfs(t *testing.T, dir string) bool {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	return st.Type == unix.TMPFS_MAGIC
}
