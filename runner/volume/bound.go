package volume

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// A volume that nobody named is bound to its container while that is made or
// removed: a file in its directory has the container's ID. An engine that finds it
// there without the container removes it, as the one before would have done; one
// that a container was removed without is not bound, and stays.

// boundName is the file in a volume's directory, beside its data.
const boundName = "_bound"

func (v *Store) boundPath(name string) string { return filepath.Join(v.dir, name, boundName) }

// Bind has volumes go with a container that is about to be removed with them.
func (v *Store) Bind(container string, names []string) error {
	var errs []error
	for _, name := range names {
		path := v.boundPath(name)
		err := os.WriteFile(path+".new", []byte(container), 0o600)
		if errors.Is(err, fs.ErrNotExist) {
			continue // there is no such volume any more
		}
		errs = append(errs, err, os.Rename(path+".new", path))
	}
	return errors.Join(errs...)
}

// Unbind has volumes stay, whatever becomes of the container.
func (v *Store) Unbind(names []string) {
	for _, name := range names {
		if err := os.Remove(v.boundPath(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			v.log.Warn("cannot tell that a volume stays", "volume", name, "error", err)
		}
	}
}

// RemoveBound removes the volumes that are bound to a container which is not there:
// an earlier engine was killed while it made or removed both.
func (v *Store) RemoveBound(isThere func(container string) bool) {
	for _, info := range v.List() {
		container, err := os.ReadFile(v.boundPath(info.Name))
		if err != nil {
			continue
		}
		if len(container) == 0 || isThere(string(container)) {
			v.Unbind([]string{info.Name})
			continue
		}
		v.log.Warn("a container was never finished, or is gone; its volume is removed", "container", string(container), "volume", info.Name)
		if err := v.Remove(info.Name); err != nil {
			v.log.Warn("cannot remove a volume", "volume", info.Name, "error", err)
		}
	}
}
