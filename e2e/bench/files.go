package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"
)

// copied is how many megabytes are copied, committed how many are made an image of.
const (
	copied    = 1000
	committed = 200
)

// copies measures cp of a large file into a container and out of it, beside coreutils' on
// the same disk. Each copy is a file that was not there.
func copies(ctx context.Context, b *bench) ([]float64, error) {
	dir, err := b.stack(map[string]string{"stack.yaml": sleeping(1, "0s")})
	if err != nil {
		return nil, err
	}
	if err := noise(filepath.Join(dir, "file"), copied); err != nil {
		return nil, err
	}
	if _, err := b.steps(ctx, dir, ":up -d"); err != nil {
		return nil, err
	}
	begin := time.Now()
	if out, err := exec.CommandContext(ctx, "cp", filepath.Join(dir, "file"), filepath.Join(dir, "floor")).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("cp: %w: %s", err, out)
	}
	floor := time.Since(begin).Seconds()
	orlop, err := b.steps(ctx, dir, "cp file s0:/tmp/file", "cp s0:/tmp/file back", ":down")
	return append([]float64{floor}, orlop...), err
}

// commits measures commit of what a container has written, and export of all of it.
func commits(ctx context.Context, b *bench) ([]float64, error) {
	dir, err := b.stack(map[string]string{"stack.yaml": sleeping(1, "0s")})
	if err != nil {
		return nil, err
	}
	if err := noise(filepath.Join(dir, "file"), committed); err != nil {
		return nil, err
	}
	return b.steps(ctx, dir, ":up -d", ":cp file s0:/tmp/file", "commit s0 bench-commit", "export -o flat.tar s0", ":image rm bench-commit", ":down")
}
