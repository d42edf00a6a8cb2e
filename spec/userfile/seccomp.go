package userfile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
)

// Seccomp is the content of a seccomp profile, without white space.
func Seccomp(dir, path string) (string, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	text, err := Read(path)
	if err != nil {
		return "", fmt.Errorf("cannot read the seccomp profile: %w", err)
	}
	var profile map[string]any
	if err := json.Unmarshal(text, &profile); err != nil {
		return "", fmt.Errorf("the seccomp profile %s is no JSON: %w", path, err)
	}
	if _, ok := profile["defaultAction"].(string); !ok {
		return "", fmt.Errorf("%s is no seccomp profile: it has no defaultAction", path)
	}
	var compact bytes.Buffer // of the text: its numbers have 64 bits
	err = json.Compact(&compact, text)
	return compact.String(), err
}
