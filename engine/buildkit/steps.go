package buildkit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Steps are the RUN steps of builds as processes of the machine. BuildKit has
// runc make them; one that it can't end, as the engine was killed, is ended by
// the next engine.
type Steps struct {
	Bundles string // BuildKit's directory of those that run
	Runc    string // our runc, with orlopd beside it
	Notes   string // runc's directory of what runs
	Log     *slog.Logger
}

// program makes what BuildKit takes for runc in a directory, and gives its path:
// the small program beside our runc, which by that name is runc with our notes
// (cmd/orlopd/step.go). It is run for each step, where this one would take ten
// times as long to begin.
func (s *Steps) program(dir string) (string, error) {
	path := filepath.Join(dir, "orlop-runc")
	small := filepath.Join(filepath.Dir(s.Runc), "orlopd")
	if err := os.WriteFile(path+".root", []byte(s.Notes), 0o600); err != nil {
		return "", err
	}
	if err := os.Remove(path + ".new"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err := os.Symlink(small, path+".new"); err != nil {
		return "", err
	}
	return path, os.Rename(path+".new", path)
}

// Sweep ends what an earlier engine left, and says whether there was anything.
func (s *Steps) Sweep(ctx context.Context) bool {
	entries, err := os.ReadDir(s.Bundles)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.Log.Warn("cannot look for what is left of builds", "error", err)
	}
	found := false
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		found = true
		if err := s.remove(ctx, e.Name()); err != nil {
			s.Log.Warn("cannot remove what is left of a build", "step", e.Name(), "error", err)
		}
	}
	return found
}

// remove ends one step. Its files are the root of its process until that is
// unmounted, so nothing is removed that is not.
func (s *Steps) remove(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if out, err := exec.CommandContext(ctx, s.Runc, "--root", s.Notes, "delete", "--force", id).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
	}
	bundle := filepath.Join(s.Bundles, id)
	root := filepath.Join(bundle, "rootfs")
	if err := unix.Unmount(root, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("cannot unmount %s: %w", root, err)
	}
	if err := os.Remove(root); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(bundle)
}
