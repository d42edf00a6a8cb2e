package volume

import (
	"errors"
	"fmt"
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

// Unbind has volumes stay, whatever becomes of the container, also after a loss of power.
// Before it has succeeded, a container that has them must not go without them.
func (v *Store) Unbind(names []string) error {
	var errs []error
	for _, name := range names {
		err := os.Remove(v.boundPath(name))
		if err == nil || errors.Is(err, fs.ErrNotExist) { // an earlier removal may not be on the disk yet
			err = syncDir(filepath.Dir(v.boundPath(name)))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("cannot keep volume %s from going with its container: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// Release ends the claims of a container that is among the others by now. A volume that
// is bound to it still is so to a container that is there.
func (v *Store) Release(container string) {
	for _, name := range v.disclaim(container) {
		if err := os.Remove(v.boundPath(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			v.log.Warn("a volume is still bound to its container", "volume", name, "error", err)
		}
	}
}

// Abandon ends the claims of a container that is not to be, and removes what was made for
// it that nobody named. That stays bound until it is gone.
func (v *Store) Abandon(container string) {
	for _, name := range v.disclaim(container) {
		if to, err := os.ReadFile(v.boundPath(name)); err != nil || string(to) != container || !v.isAnonymous(name) {
			continue
		}
		if err := v.Remove(name); err != nil {
			v.log.Warn("cannot remove an anonymous volume", "volume", name, "error", err)
		}
	}
}

func (v *Store) disclaim(container string) (names []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	names = v.claims[container]
	delete(v.claims, container)
	return names
}

func (v *Store) isAnonymous(name string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.all[name] != nil && v.all[name].Anonymous
}

// RemoveBound removes the volumes that are bound to a container which is not there:
// an earlier engine was killed while it made or removed both. The word of one file is not
// enough: one that a container has, or that somebody named, stays.
func (v *Store) RemoveBound(isThere, has func(name string) bool) {
	v.Detach(has)
	for _, info := range v.List() {
		container, err := os.ReadFile(v.boundPath(info.Name))
		if err != nil {
			continue
		}
		if len(container) == 0 || !info.Anonymous || isThere(string(container)) || has(info.Name) {
			if err := v.Unbind([]string{info.Name}); err != nil {
				v.log.Warn("a volume is still bound to a container", "error", err)
			}
			continue
		}
		v.log.Warn("a container was never finished, or is gone; its volume is removed", "container", string(container), "volume", info.Name)
		if err := v.Remove(info.Name); err != nil {
			v.log.Warn("cannot remove a volume", "volume", info.Name, "error", err)
		}
	}
}
