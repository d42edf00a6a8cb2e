package assembly

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/runner/oci"
	"github.com/orlop/orlop/runner/supervisor"
	"github.com/orlop/orlop/spec"
)

// MakeShm mounts the /dev/shm of a container that lets others share it, which is to be
// found outside of its own mounts for that; a reboot takes it along.
func (m *Maker) MakeShm(rec *supervisor.Record) error {
	if rec.Applied.Service.IPC != spec.ShareableIPC {
		return nil
	}
	dir := filepath.Join(m.Shms, rec.ID)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("cannot make /dev/shm of %s: %w", rec.Name, err)
	}
	rec.Shm = dir
	if isMount(dir) {
		return nil
	}
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount("shm", dir, "tmpfs", flags, "mode=1777,size="+oci.ShmSize(rec.Applied.Service)); err != nil {
		return fmt.Errorf("cannot make /dev/shm of %s: %w", rec.Name, err)
	}
	return nil
}

// RemoveShm takes away what MakeShm has made of a container, if there is anything.
func (m *Maker) RemoveShm(id string) error {
	dir := filepath.Join(m.Shms, id)
	if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("cannot unmount %s: %w", dir, err)
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// isMount says that something is mounted at a directory.
func isMount(dir string) bool {
	var own, above unix.Stat_t
	return unix.Stat(dir, &own) == nil && unix.Stat(filepath.Dir(dir), &above) == nil && own.Dev != above.Dev
}
