package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/orlop/orlop/keeper"
)

// StartKeeper starts the keeper that is installed with the command: beside it,
// or in ../libexec/orlop.
func StartKeeper(ctx context.Context, root, state string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("cannot tell where the command is installed: %w", err)
	}
	path, err := FindKeeper(self)
	if err != nil {
		return err
	}
	if err := checkStateDir(state); err != nil {
		return err
	}
	return keeper.Start(ctx, keeper.StartOptions{Path: path, Root: root, State: state})
}

// FindKeeper is the keeper that is installed with a command.
func FindKeeper(self string) (string, error) {
	path, err := FindProgram(self, "orlopd")
	if err != nil {
		return "", fmt.Errorf("cannot start the engine: %w", err)
	}
	return path, nil
}

// FindProgram is a program that is installed with a command: beside it, or in ../libexec/orlop.
func FindProgram(self, name string) (string, error) {
	if real, err := filepath.EvalSymlinks(self); err == nil {
		self = real
	}
	dir := filepath.Dir(self)
	places := []string{filepath.Join(dir, name), filepath.Join(filepath.Dir(dir), "libexec", "orlop", name)}
	for _, path := range places {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is neither at %s nor at %s: install Orlop whole (make install)", name, places[0], places[1])
}
