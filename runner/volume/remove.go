package volume

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/orlop/orlop/failpoint"
)

// leaving is the directory, among those of the volumes, of what is being
// removed: NAME.SUFFIX each. No volume has its name.
const leaving = ".removed"

// Remove removes a volume and all that is in it, which may take minutes. It is
// no volume any more from the beginning: one of the same name that is made
// meanwhile is another.
func (v *Store) Remove(name string) error {
	if err := v.unmount(name); err != nil {
		return err
	}
	aside, err := v.takeOut(name)
	if err != nil || aside == "" {
		return err
	}
	defer v.tidy()
	if mayBeMounted(filepath.Join(aside, "_data")) { // what is there is somebody else's
		return fmt.Errorf("cannot remove volume %s: something is mounted at %s", name, aside)
	}
	if err := v.delete(aside); err != nil {
		return fmt.Errorf("cannot remove all that was in volume %s (the rest is removed when the engine starts next): %w", name, err)
	}
	return nil
}

// takeOut takes a volume out of all there are and gives what is left to be
// deleted; "" if there is no such volume.
func (v *Store) takeOut(name string) (aside string, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.all[name] == nil {
		return "", nil
	}
	for by, names := range v.claims {
		if slices.Contains(names, name) {
			return "", fmt.Errorf("cannot remove volume %s: %s", name, inUseBy(by))
		}
	}
	aside = filepath.Join(v.dir, leaving, name+"."+rand.Text()[:8])
	err = os.MkdirAll(filepath.Dir(aside), 0o700)
	if err == nil {
		err = os.Rename(filepath.Join(v.dir, name), aside)
	}
	if err != nil && !os.IsNotExist(err) {
		return "", fmt.Errorf("cannot remove volume %s: %w", name, err)
	}
	failpoint.Hit("volume/set-aside")
	delete(v.all, name)
	v.docs.Delete(bucket, name)
	return aside, nil
}

// tidy removes the directory of what is being removed once nothing is in it.
func (v *Store) tidy() {
	v.mu.Lock() // takeOut needs it there
	defer v.mu.Unlock()
	_ = os.Remove(filepath.Join(v.dir, leaving))
}

// isLeaving says that an earlier engine was removing a volume, and that none of
// its name was made since.
func (v *Store) isLeaving(name string) bool {
	if _, err := os.Lstat(filepath.Join(v.dir, name)); err == nil {
		return false
	}
	entries, _ := os.ReadDir(filepath.Join(v.dir, leaving))
	return slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		dot := strings.LastIndexByte(e.Name(), '.')
		return dot > 0 && e.Name()[:dot] == name
	})
}

// FinishRemovals deletes what an earlier engine could not delete to the end. It
// gives up when ctx ends, and goes on with the next engine.
func (v *Store) FinishRemovals(ctx context.Context) {
	dir := filepath.Join(v.dir, leaving)
	volumes, _ := os.ReadDir(dir)
	defer v.tidy()
	for _, vol := range volumes {
		path := filepath.Join(dir, vol.Name())
		if mayBeMounted(filepath.Join(path, "_data")) {
			continue
		}
		// One thing after the other, so that the engine's end is noticed.
		parts, _ := filepath.Glob(filepath.Join(path, "_data", "*"))
		for _, part := range append(parts, path) {
			if ctx.Err() != nil {
				return
			}
			if err := v.delete(part); err != nil {
				v.log.Warn("cannot delete what is left of a volume", "path", part, "error", err)
				break
			}
		}
	}
}
