package main

import (
	"context"
	"fmt"
)

// printed is how many lines of some 80 bytes a service prints.
const printed = 100_000

// flooding is a stack of a service that prints them as fast as it can, and ends.
func flooding() string {
	return fmt.Sprintf(`services:
  s0:
    image: busybox
    command: [sh, -c, "i=0; while [ $$i -lt %d ]; do i=$$((i+1)); echo a line of some eighty bytes, as services print them: this one is number $$i; done"]
`, printed)
}

// allLines measures what it takes to print a log.
func allLines(ctx context.Context, b *bench) ([]float64, error) {
	dir, err := b.stack(map[string]string{"stack.yaml": flooding()})
	if err != nil {
		return nil, err
	}
	return b.steps(ctx, dir, ":up -d", ":logs -f -n 0", "logs", ":down")
}

// lastLines measures what it takes to print the end of one.
func lastLines(ctx context.Context, b *bench) ([]float64, error) {
	dir, err := b.stack(map[string]string{"stack.yaml": flooding()})
	if err != nil {
		return nil, err
	}
	return b.steps(ctx, dir, ":up -d", ":logs -f -n 0", "logs --tail 100", ":down")
}
