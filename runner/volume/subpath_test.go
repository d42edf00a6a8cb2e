package volume

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// volumeWith makes a volume's directory with files and links in it.
func volumeWith(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "_data")
	for _, err := range []error{
		os.MkdirAll(filepath.Join(dir, "app", "data"), 0o755),
		os.WriteFile(filepath.Join(dir, "app", "file"), []byte("inside"), 0o644),
		os.WriteFile(filepath.Join(dir, "..", "secret"), nil, 0o600),
		os.Symlink("app/data", filepath.Join(dir, "current")),
		os.Symlink("/etc", filepath.Join(dir, "absolute")),
		os.Symlink("../..", filepath.Join(dir, "app", "up")),
		os.Symlink("../secret", filepath.Join(dir, "out")),
		os.Symlink("loop", filepath.Join(dir, "loop")),
		os.Symlink("/proc/self/root", filepath.Join(dir, "magic")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestPathsStayInsideAVolume(t *testing.T) {
	dir := volumeWith(t)
	for subpath, want := range map[string]string{
		"nosuch":     `volume shop_data has no path "nosuch"`,
		"app/file/x": `volume shop_data has no path "app/file/x"`,
		"absolute":   `the path "absolute" leads out of volume shop_data`,
		"app/up":     `the path "app/up" leads out of volume shop_data`,
		"out":        `the path "out" leads out of volume shop_data`,
		"loop":       `the path "loop" leads out of volume shop_data`,
		"magic/etc":  `the path "magic/etc" leads out of volume shop_data`,
		"/etc":       `the path "/etc" leads out of volume shop_data`,
		"../secret":  `the path "../secret" leads out of volume shop_data`,
	} {
		place := filepath.Join(t.TempDir(), "0")
		err := mountSubpath(dir, subpath, place)
		if err == nil {
			_ = unix.Unmount(place, unix.MNT_DETACH)
			t.Errorf("%s is mounted", subpath)
			continue
		}
		if got := subpathError("volume shop_data", subpath, err).Error(); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", subpath, got, want)
		}
	}
}

func TestPathsInsideAVolumeAreMounted(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: a mount needs root")
	}
	dir := volumeWith(t)
	for subpath, holds := range map[string]string{"app": "file", "current": "", "app/file": "", "./app/../app": "data"} {
		place := filepath.Join(t.TempDir(), "of", "0")
		if err := mountSubpath(dir, subpath, place); err != nil {
			t.Errorf("%s: %v", subpath, err)
			continue
		}
		if _, err := os.Stat(filepath.Join(place, holds)); err != nil {
			t.Errorf("%s is not what is mounted: %v", subpath, err)
		}
		if err := unix.Unmount(place, 0); errors.Is(err, unix.EINVAL) || err != nil {
			t.Errorf("%s: %v", subpath, err)
		}
	}
}
