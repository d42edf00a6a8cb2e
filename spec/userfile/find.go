package userfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// StackNames are the names of a stack file, best first.
func StackNames() []string {
	return []string{"stack.yaml", "stack.yml", "compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"}
}

// NoStack is the error of FindStack when no stack file is there.
type NoStack struct {
	Dir string // where the search started
}

// Error names where was looked for what, and what to do.
func (e *NoStack) Error() string {
	return fmt.Sprintf("no stack file in %s or above it: looked for %s; write one, or name it with -f",
		e.Dir, strings.Join(StackNames(), ", "))
}

// FindStack is the stack file of a directory or of the nearest one above it, and
// its override companion (stack.override.yaml) if there is one.
func FindStack(dir string) ([]string, error) {
	start, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot look for a stack file in %s: %w", dir, err)
	}
	for at := start; ; at = filepath.Dir(at) {
		for _, name := range StackNames() {
			path := filepath.Join(at, name)
			if !IsFile(path) {
				continue
			}
			files := []string{path}
			base := strings.TrimSuffix(name, filepath.Ext(name))
			for _, ext := range []string{".yaml", ".yml"} {
				if companion := filepath.Join(at, base+".override"+ext); IsFile(companion) {
					return append(files, companion), nil
				}
			}
			return files, nil
		}
		if at == filepath.Dir(at) {
			return nil, &NoStack{Dir: start}
		}
	}
}

// IsFile says that something is there that is no directory.
func IsFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}

// Cause is the part of a file error that a user needs.
func Cause(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "no such file"
	case errors.Is(err, fs.ErrPermission):
		return "permission denied"
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}
