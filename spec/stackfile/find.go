package stackfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/orlop/orlop/spec"
)

// fileNames are the names of a stack file, best first.
func fileNames() []string {
	return []string{"stack.yaml", "stack.yml", "compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"}
}

// NotFound is the error of Find when no stack file is there.
type NotFound struct {
	Dir string // where the search started
}

// Error names where was looked for what, and what to do.
func (e *NotFound) Error() string {
	return fmt.Sprintf("no stack file in %s or above it: looked for %s; write one, or name it with -f",
		e.Dir, strings.Join(fileNames(), ", "))
}

// Find is the stack file of a directory or of the nearest one above it, and
// its override companion (stack.override.yaml) if there is one.
func Find(dir string) ([]string, error) {
	start, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot look for a stack file in %s: %w", dir, err)
	}
	for at := start; ; at = filepath.Dir(at) {
		for _, name := range fileNames() {
			path := filepath.Join(at, name)
			if !isFile(path) {
				continue
			}
			files := []string{path}
			base := strings.TrimSuffix(name, filepath.Ext(name))
			for _, ext := range []string{".yaml", ".yml"} {
				if companion := filepath.Join(at, base+".override"+ext); isFile(companion) {
					return append(files, companion), nil
				}
			}
			return files, nil
		}
		if at == filepath.Dir(at) {
			return nil, &NotFound{Dir: start}
		}
	}
}

// unreadBeside warns of other stack files beside the one that was found.
func (l *loader) unreadBeside(found string) {
	var others []string
	for _, name := range fileNames() {
		if path := filepath.Join(filepath.Dir(found), name); path != found && isFile(path) {
			others = append(others, name)
		}
	}
	if len(others) == 0 {
		return
	}
	verb := "is"
	if len(others) > 1 {
		verb = "are"
	}
	l.Report(spec.Diagnostic{Severity: spec.Warning,
		Message: fmt.Sprintf("%s %s not read: %s is", strings.Join(others, ", "), verb, filepath.Base(found)), Hint: "keep one of them, or say with -f which"})
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}

// cause is the part of a file error that a user needs.
func cause(err error) string {
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
