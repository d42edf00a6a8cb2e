package openat

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// TestWhatIsRenamedElsewhereIsInNobodysWay: the kernel gives up on a path that leads upwards when anything is renamed.
func TestWhatIsRenamedElsewhereIsInNobodysWay(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a/b/c", "other"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	root, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(root)
	over := make(chan struct{})
	var renaming sync.WaitGroup
	defer renaming.Wait()
	defer close(over)
	renaming.Go(func() {
		from, to := filepath.Join(dir, "other"), filepath.Join(dir, "another")
		for {
			select {
			case <-over:
				return
			default:
				_ = os.Rename(from, to)
				from, to = to, from
			}
		}
	})
	for range 20000 {
		fd, err := Open(root, "a/b/../../../a/b/c/../../../../a", &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT})
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(fd)
	}
}
