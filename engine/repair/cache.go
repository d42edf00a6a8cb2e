package repair

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// cacheLayers is BuildKit's database of the layers that it has.
const cacheLayers = "containerd-overlayfs/metadata_v2.db"

// CheckCache says what is damaged of the build cache in a directory: one of the
// databases. missing says that the one of its layers is not there, as when the
// directory was removed.
func CheckCache(dir string) (missing bool, damage error) {
	_, err := os.Stat(filepath.Join(dir, cacheLayers))
	missing = errors.Is(err, fs.ErrNotExist)
	for _, name := range []string{cacheLayers, "cache.db", "history.db"} {
		err := CheckPages(filepath.Join(dir, name))
		switch {
		case err == nil, errors.Is(err, fs.ErrNotExist):
		case IsDamage(err):
			return false, fmt.Errorf("%s: %w", name, err)
		}
	}
	return missing, nil
}

// DropCache removes the build cache in a directory, which only costs time.
func DropCache(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("cannot remove the build cache: %w", err)
	}
	return nil
}
