package root

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const entering = "ORLOP_TEST_ROOT"

// bundle is one with a root of two layers to be mounted, on a mount that others hear of.
func bundle(t *testing.T, lower string) (dir, upper string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root: mounts")
	}
	top := t.TempDir()
	if err := unix.Mount("test", top, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(top, unix.MNT_DETACH) })
	if err := unix.Mount("", top, "", unix.MS_SHARED, ""); err != nil {
		t.Fatal(err)
	}
	dir, upper = filepath.Join(top, "bundle"), filepath.Join(top, "upper")
	for _, path := range []string{filepath.Join(dir, Dir), upper, filepath.Join(top, "work"), filepath.Join(top, "lower")} {
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(top, "lower", "below"), []byte("of the image"), 0o600); err != nil {
		t.Fatal(err)
	}
	data := "workdir=" + filepath.Join(top, "work") + ",upperdir=" + upper + ",lowerdir=" + filepath.Join(top, lower)
	if err := Note(dir, Mount{Type: "overlay", Source: "overlay", Data: data}); err != nil {
		t.Fatal(err)
	}
	return dir, upper
}

// enter is what the first process of a container does.
func enter(t *testing.T, dir string) error {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run", "^TestInside$")
	cmd.Dir, cmd.Env = filepath.Join(dir, Dir), append(os.Environ(), entering+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		t.Log(lines.Text())
		if lines.Text() == "entered" { // the machine mounts more beside it
			later := filepath.Join(dir, "later")
			err := errors.Join(os.Mkdir(later, 0o700), unix.Mount("test", later, "tmpfs", 0, ""), os.WriteFile(filepath.Join(later, "file"), nil, 0o600))
			if err != nil {
				t.Error(err)
			}
			in.Close()
		}
	}
	_ = unix.Unmount(filepath.Join(dir, "later"), unix.MNT_DETACH)
	return errors.Join(cmd.Wait(), os.RemoveAll(filepath.Join(dir, "later")))
}

// TestInside is run by the others, in a mount namespace of its own.
func TestInside(t *testing.T) {
	if os.Getenv(entering) == "" {
		t.Skip("it is run by the others")
	}
	if err := Enter(); err != nil {
		t.Fatal(err)
	}
	at, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(at, "below")); err != nil || string(text) != "of the image" {
		t.Errorf("%q, %v", text, err)
	}
	if err := os.WriteFile(filepath.Join(at, "written"), nil, 0o600); err != nil {
		t.Error(err)
	}
	fmt.Println("entered")
	if _, err := io.ReadAll(os.Stdin); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(at, "../later/file")); err != nil {
		t.Errorf("what the machine mounts later is not seen: %v", err)
	}
}

// What is written goes into the writable layer; who is outside sees no mount, though it was made on one that is
// shared with them.
func TestARootIsItsContainersAlone(t *testing.T) {
	dir, upper := bundle(t, "lower")
	if err := enter(t, dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(upper, "written")); err != nil {
		t.Error(err)
	}
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || bytes.Contains(table, []byte(dir)) {
		t.Errorf("the machine has a mount of it: %v", err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, Dir)); err != nil || len(left) > 0 {
		t.Errorf("below are %v, %v", left, err)
	}
	if err := Failure(dir); err != nil {
		t.Error(err)
	}
}

func TestWhyARootCouldNotBeMounted(t *testing.T) {
	dir, _ := bundle(t, "none")
	if enter(t, dir) == nil {
		t.Fatal("a layer that is not there is mounted")
	}
	if err := Failure(dir); err == nil || !strings.Contains(err.Error(), "failed to mount rootfs component") || !strings.Contains(err.Error(), "no such file or directory") {
		t.Errorf("it says %v", err)
	}
}

// Where it is mounted at once, the first process has nothing to do.
func TestARootIsMountedHere(t *testing.T) {
	dir, _ := bundle(t, "lower")
	for range 2 {
		if err := Here(dir); err != nil {
			t.Fatal(err)
		}
	}
	at := filepath.Join(dir, Dir)
	if _, err := os.Stat(filepath.Join(at, "below")); err != nil {
		t.Error(err)
	}
	if err := enter(t, dir); err != nil {
		t.Error(err)
	}
	if err := unix.Unmount(at, 0); err != nil {
		t.Error(err)
	}
	if err := unix.Unmount(at, 0); !errors.Is(err, unix.EINVAL) {
		t.Errorf("it was mounted twice: %v", err)
	}
}

func TestABundleWithoutANote(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, Dir), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(filepath.Join(dir, Dir))
	if err := errors.Join(Enter(), Here(dir), Failure(dir)); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile("../"+note, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if Enter() == nil || Failure(dir) == nil || Here(dir) == nil {
		t.Error("a note that can't be read is passed over")
	}
	if err := os.Chmod("../"+note, 0o622); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(Enter(), Here(dir)); err != nil {
		t.Errorf("what others may have written is read: %v", err)
	}
}
