package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/orlop/orlop/e2e/lab"
)

// published measures what goes through a published port: client, host and container are in
// network namespaces of their own, and the same is measured with the port left to the
// keeper, in one run.
func published(ctx context.Context, b *bench) (out []float64, err error) {
	b.number++
	h, err := lab.NewHost(fmt.Sprintf("ob-%d-%d", os.Getpid()%10000, b.number), b.reaper)
	if err != nil {
		return nil, err
	}
	e, err := lab.NewEngine(b.bin, b.reaper)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.Close(context.Background())) }()
	e.Netns = h.Path()
	dir, err := b.stack(map[string]string{"stack.yaml": "services:\n  web: {image: busybox, command: /traffic serve, init: true, volumes: [\"./traffic:/traffic:ro\"], ports: [\"8080:8080\"]}\n"})
	if err != nil {
		return nil, err
	}
	traffic := filepath.Join(dir, "traffic")
	build := exec.CommandContext(ctx, "go", "build", "-o", traffic, "./e2e/bench/traffic")
	build.Dir, build.Env = b.repo, append(os.Environ(), "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, said)
	}
	if _, err := b.on(ctx, e, dir, "image load "+filepath.Join(b.images, "busybox.tar"), "up -d"); err != nil {
		return nil, err
	}
	kernel, err := rates(ctx, e, dir, h, traffic, "kernel")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(e.Root, "engine.yaml"), []byte("published_ports: userspace\n"), 0o600); err != nil {
		return nil, err
	}
	if _, err := b.on(ctx, e, dir, "engine restart"); err != nil {
		return nil, err
	}
	userspace, err := rates(ctx, e, dir, h, traffic, "userspace")
	if err != nil {
		return nil, err
	}
	if _, err := b.on(ctx, e, dir, "down -t 0"); err != nil {
		return nil, err
	}
	out = append(kernel, userspace...)
	for _, i := range []int{0, 1, 2, 4, 5, 6} {
		out = append(out, kernel[i]/userspace[i])
	}
	return out, nil
}

// publishedColumns are what it gives.
func publishedColumns() (columns []column) {
	reach := map[string][]float64{
		"by the kernel": {25735, 7965, 2414, 0.02, 0, 0, 0, 0, 0, 0},
		"by the keeper": {0, 0, 0, 1000, 0, 0, 0, 0, 0, 0},
	}
	for _, way := range []string{"by the kernel", "by the keeper"} {
		for i, c := range []column{
			{title: "from outside, requests on kept connections", unit: "1/s"}, {title: "connections", unit: "1/s"}, {title: "megabytes", unit: "1/s"},
			{title: "the keeper's processor time", unit: "s"},
			{title: "from the machine at its own address, requests on kept connections", unit: "1/s"}, {title: "connections", unit: "1/s"}, {title: "megabytes", unit: "1/s"},
			{title: "on loopback, requests on kept connections", unit: "1/s"}, {title: "connections", unit: "1/s"}, {title: "megabytes", unit: "1/s"},
		} {
			c.title, c.reach = way+": "+c.title, reach[way][i]
			columns = append(columns, c)
		}
	}
	for _, from := range []struct {
		where string
		reach float64
	}{{"from outside", 1.9}, {"from the machine", 1.5}} {
		for _, what := range []string{"requests", "connections", "megabytes"} {
			columns = append(columns, column{title: from.where + ", the kernel's " + what + " by the keeper's", unit: "times", reach: from.reach})
		}
	}
	return columns
}

// rates measures one way that a port may go.
func rates(ctx context.Context, e *lab.Engine, dir string, h *lab.Host, traffic, way string) (out []float64, err error) {
	for end := time.Now().Add(10 * time.Second); ; {
		said, err := e.Run(ctx, dir, "port", "--verbose", "web", "8080")
		if err != nil {
			return nil, err
		}
		if strings.Contains(said, "  "+way) {
			break
		}
		if time.Now().After(end) {
			return nil, fmt.Errorf("the port does not go by the %s: %s", way, said)
		}
	}
	status, err := e.Status(ctx)
	if err != nil {
		return nil, err
	}
	for _, from := range []struct{ netns, address string }{{h.Path() + "-out", lab.HostAddress + ":8080"}, {h.Path(), lab.HostAddress + ":8080"}, {h.Path(), "127.0.0.1:8080"}} {
		before, err := processorTime(status.Keeper.PID)
		if err != nil {
			return nil, err
		}
		for _, what := range []string{"requests", "connections", "bytes"} {
			n, err := rate(ctx, from.netns, traffic, what, from.address)
			if err != nil {
				return nil, err
			}
			if what == "bytes" {
				n /= 1e6
			}
			out = append(out, n)
		}
		after, err := processorTime(status.Keeper.PID)
		if err != nil {
			return nil, err
		}
		if len(out) == 3 {
			out = append(out, after-before)
		}
	}
	return out, nil
}

// askFor is how many seconds each rate is measured.
const askFor = "3"

func rate(ctx context.Context, netns, traffic, what, address string) (float64, error) {
	cmd := exec.CommandContext(ctx, "nsenter", "--net="+netns, "--", traffic, what, address, askFor)
	cmd.Stderr = os.Stderr
	said, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("%s to %s: %w", what, address, err)
	}
	return strconv.ParseFloat(strings.TrimSpace(string(said)), 64)
}

// processorTime is what a process has had so far, in seconds.
func processorTime(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	words := strings.Fields(rest)
	const utime, stime, ticks = 11, 12, 100 // proc_pid_stat(5), after the name; USER_HZ
	if len(words) <= stime {
		return 0, fmt.Errorf("process %d has no times", pid)
	}
	user, err := strconv.ParseFloat(words[utime], 64)
	system, err2 := strconv.ParseFloat(words[stime], 64)
	return (user + system) / ticks, errors.Join(err, err2)
}

// on runs commands with an engine.
func (b *bench) on(ctx context.Context, e *lab.Engine, dir string, commands ...string) (said string, err error) {
	for _, c := range commands {
		if said, err = e.Run(ctx, dir, strings.Fields(c)...); err != nil {
			return "", err
		}
	}
	return said, nil
}
