package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// execs measures a command in a container, from the caller's shell and back.
func execs(ctx context.Context, b *bench) ([]float64, error) {
	dir, err := b.stack(map[string]string{"stack.yaml": sleeping(1, "0s")})
	if err != nil {
		return nil, err
	}
	times, err := b.steps(ctx, dir, ":up -d", ":exec -T s0 true", "exec -T s0 true", ":down")
	return times, err
}

// checks measures what health checks cost while nothing else goes on: the processor time of
// the engine and its helpers with all that they have begun.
func checks(ctx context.Context, b *bench) ([]float64, error) {
	const services, seconds = 50, 20
	text := strings.ReplaceAll(sleeping(services, "0s"), "    command:", "    healthcheck: {test: [CMD, \"true\"], interval: 1s}\n    command:")
	dir, err := b.stack(map[string]string{"stack.yaml": text})
	if err != nil {
		return nil, err
	}
	if _, err := b.steps(ctx, dir, "up -d --wait"); err != nil {
		return nil, err
	}
	before, err := b.used()
	if err != nil {
		return nil, err
	}
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-time.After(seconds * time.Second):
	}
	after, err := b.used()
	if err != nil {
		return nil, err
	}
	_, err = b.steps(ctx, dir, "down")
	return []float64{after - before, 1000 * (after - before) / (services * seconds)}, err
}

// used is the processor time of the engine's programs and of the processes that they
// have reaped, in seconds.
func (b *bench) used() (float64, error) {
	var ticks int64
	for _, program := range []string{"orlopd", "orlop-engine", "orlop-exec", "containerd-shim-runc-v2"} {
		for _, pid := range b.engine.Processes(program) {
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			if err != nil {
				continue // it has ended meanwhile
			}
			_, rest, _ := strings.Cut(string(stat), ") ")
			fields := strings.Fields(rest)
			for _, f := range fields[11:15] { // utime, stime, cutime, cstime
				n, err := strconv.ParseInt(f, 10, 64)
				if err != nil {
					return 0, err
				}
				ticks += n
			}
		}
	}
	return float64(ticks) / 100, nil
}
