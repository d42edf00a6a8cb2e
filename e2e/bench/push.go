package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/orlop/orlop/e2e/lab"
)

// pushes measures the push of an image of twelve layers: all of it to an empty registry on this machine, one
// changed layer of some bytes, and nothing.
func pushes(ctx context.Context, b *bench) ([]float64, error) {
	registry, err := lab.NewRegistry()
	if err != nil {
		return nil, err
	}
	defer registry.Close()
	var dockerfile strings.Builder
	dockerfile.WriteString("FROM busybox\n")
	for i := range 10 {
		fmt.Fprintf(&dockerfile, "RUN dd if=/dev/urandom of=/%d bs=1M count=2\n", i)
	}
	dockerfile.WriteString("COPY file /file\n")
	dir, err := b.stack(map[string]string{
		"stack.yaml": fmt.Sprintf("services:\n  app: {image: \"%s/bench/app:1\", build: .}\n", registry.Address()),
		"Dockerfile": dockerfile.String(), "file": "first\n",
	})
	if err != nil {
		return nil, err
	}
	all, err := b.steps(ctx, dir, ":build --no-cache", "push")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte(time.Now().String()), 0o644); err != nil {
		return nil, err
	}
	rest, err := b.steps(ctx, dir, ":build", "push", "push")
	return append(all, rest...), err
}
