package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// ReadEnvFiles reads the files of --env-file as Docker does: NAME=value as it is written, or NAME alone for what the caller has.
func ReadEnvFiles(dir string, names []string) (read []string, err error) {
	for _, name := range names {
		path := name
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, name)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("cannot read --env-file %s: %w", name, errors.Unwrap(err))
		}
		for line := range strings.Lines(strings.TrimPrefix(string(text), "\ufeff")) {
			line = strings.TrimLeft(strings.TrimRight(line, "\r\n"), " \t")
			if line != "" && !strings.HasPrefix(line, "#") {
				read = append(read, line)
			}
		}
	}
	return read, nil
}
