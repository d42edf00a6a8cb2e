package loop

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/orlop/orlop/spec"
)

// Held are the files that the rules of services are about, as they are now; no names stands for all services. What an up sees
// that begins after this, and is gone when the watch begins, has changed.
func Held(p *spec.Project, names []string, opts Options) ([]string, error) {
	rules, err := Compile(p, names, opts)
	if err != nil {
		return nil, err
	}
	s := scope{rules}
	var held []string
	for _, root := range s.roots() {
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil && d == nil:
				return nil // it is not there
			case s.holds(path):
				held = append(held, path)
			}
			if d.IsDir() && !s.enters(path) {
				return fs.SkipDir
			}
			return nil
		})
	}
	slices.Sort(held)
	return slices.Compact(held), nil
}

// gone are those of some files that are there no more.
func gone(files []string) []string {
	return slices.DeleteFunc(slices.Clone(files), func(file string) bool {
		_, err := os.Lstat(file)
		return err == nil || !os.IsNotExist(err) && !isNotDirectory(err)
	})
}
