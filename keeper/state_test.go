package keeper

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

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
	bundle := filepath.Join(dir, "containerd/io.containerd.runtime.v2.task/orlop/web")
	if err := os.MkdirAll(bundle, 0o700); err != nil {
		t.Fatal(err)
	}
	end := occupyDir(t, bundle)
	if gone, err := unmountState(dir); gone || err != nil {
		t.Errorf("with a container: gone %t, %v", gone, err)
	}
	end()
	if err := os.Remove(bundle); err != nil {
		t.Fatal(err)
	}
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

// The shim of a container that was just removed ends a moment after it.
func TestStateWaitsForWhoIsAboutToEnd(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: only root mounts")
	}
	dir, err := os.MkdirTemp("/var/tmp", "orlop-state-")
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(stateSource, dir, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.Unmount(dir, unix.MNT_DETACH)
		os.RemoveAll(dir)
	})
	end := occupyDir(t, dir)
	if users := usersOf(dir); len(users) != 1 {
		t.Fatalf("users: %v", users)
	}
	type result struct {
		gone bool
		err  error
	}
	done := make(chan result, 1)
	go func() {
		gone, err := unmountState(dir)
		done <- result{gone, err}
	}()
	select {
	case r := <-done:
		t.Fatalf("with somebody in it: %+v", r)
	case <-time.After(50 * time.Millisecond): // it waits
	}
	end()
	if r := <-done; !r.gone || r.err != nil {
		t.Errorf("when it has ended: %+v", r)
	}
	if got := orUnknown([]int{os.Getpid()}); got != fmt.Sprintf("process %d (keeper.test)", os.Getpid()) {
		t.Errorf("named %q", got)
	}
}

// occupyDir starts a process in dir, and gives what ends it.
func occupyDir(t *testing.T, dir string) (end func()) {
	t.Helper()
	cmd := exec.Command("cat")
	cmd.Dir = dir
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return func() {
		stdin.Close()
		_ = cmd.Wait()
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
