package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
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

// used is the processor time of the engine's programs, of the containers that run
// and of the processes that have been reaped by either, in seconds.
func (b *bench) used() (float64, error) {
	var ticks int64
	for _, program := range []string{"orlopd", "orlop-engine", "orlop-exec", "orlop-shim", "containerd-shim-runc-v2"} {
		for _, pid := range b.engine.Processes(program) {
			ticks += ticksOf(pid)
			if !strings.Contains(program, "shim") {
				continue
			}
			lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
			if err != nil || len(lists) == 0 {
				return 0, fmt.Errorf("cannot tell the containers of process %d: %v", pid, err)
			}
			for _, list := range lists {
				text, _ := os.ReadFile(list) // a thread that has ended has none
				for _, word := range strings.Fields(string(text)) {
					if child, err := strconv.Atoi(word); err == nil {
						ticks += ticksOf(child)
					}
				}
			}
		}
	}
	return float64(ticks) / 100, nil
}

// ticksOf are the hundredths of a second that a process and those that it has reaped have
// used; 0 of one that has ended.
func ticksOf(pid int) int64 {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	var ticks int64
	for _, f := range strings.Fields(rest)[11:15] { // utime, stime, cutime, cstime
		n, _ := strconv.ParseInt(f, 10, 64)
		ticks += n
	}
	return ticks
}

// processor measures what one of many containers costs the engine's programs, with all
// that they have begun, to come up and to go away.
func processor(ctx context.Context, b *bench) ([]float64, error) {
	const services = 50
	dir, err := b.stack(map[string]string{"stack.yaml": sleeping(services, "0s")})
	if err != nil {
		return nil, err
	}
	// A shim that ends takes what it has used along: this service keeps the stack's.
	if _, err := b.steps(ctx, dir, "up -d s0"); err != nil {
		return nil, err
	}
	var out []float64
	for _, command := range []string{"up -d", "rm -s -f " + numbered(1, services)} {
		before, err := b.used()
		if err != nil {
			return nil, err
		}
		if _, err := b.steps(ctx, dir, command); err != nil {
			return nil, err
		}
		after, err := b.used()
		if err != nil {
			return nil, err
		}
		out = append(out, 1000*(after-before)/(services-1))
	}
	_, err = b.steps(ctx, dir, "down")
	return out, err
}

// numbered are the names of services from a number up to another.
func numbered(from, to int) string {
	var names []string
	for i := from; i < to; i++ {
		names = append(names, fmt.Sprint("s", i))
	}
	return strings.Join(names, " ")
}
