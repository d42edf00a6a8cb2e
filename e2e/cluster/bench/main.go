// Command bench measures what a deploy costs beside what kubectl costs, on an API server of its own:
//
//	make bench-cluster
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/orlop/orlop/e2e/cluster"
	"github.com/orlop/orlop/e2e/cluster/machine"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// services of the stack, none of which has a pod: what is measured are requests.
const services = 50

type bench struct {
	env  []string
	dir  string
	bin  string
	runs int
}

func run() error {
	runs := flag.Int("runs", 5, "times that each is run, in turns")
	repository := flag.String("repository", "../..", "root of the repository whose bin and .cache are used")
	flag.Parse()
	repo, err := filepath.Abs(*repository)
	if err != nil {
		return err
	}
	dir, err := machine.Enter("/var/tmp")
	if err != nil {
		return err
	}
	ctx, end := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer end()
	c, err := cluster.Start(ctx, cluster.Options{Dir: dir, Programs: filepath.Join(repo, ".cache/cluster")})
	if err != nil {
		return err
	}
	defer c.Stop()
	b := &bench{dir: filepath.Join(dir, "bench"), bin: filepath.Join(repo, "bin"), runs: *runs}
	b.env = append(os.Environ(), "KUBECONFIG="+c.Kubeconfig(), "HOME="+dir, "PATH="+b.bin+":"+filepath.Join(repo, ".cache/cluster")+":"+os.Getenv("PATH"))
	if err := b.write(); err != nil {
		return err
	}
	return b.measure(ctx)
}

// write writes the stack, and its objects as kubectl takes them.
func (b *bench) write() error {
	var stack strings.Builder
	stack.WriteString("name: bench\nservices:\n")
	for i := range services {
		fmt.Fprintf(&stack, "  s%d:\n    image: registry.invalid/x@sha256:%064d\n    command: [sleep, \"1000\"]\n    expose: [\"80\"]\n    deploy: {replicas: 0}\n", i, i)
	}
	if err := errors.Join(os.MkdirAll(b.dir, 0o755), os.WriteFile(filepath.Join(b.dir, "stack.yaml"), []byte(stack.String()), 0o644)); err != nil {
		return err
	}
	objects, err := b.command(context.Background(), "orlop", "deploy", "render").Output()
	if err != nil {
		return fmt.Errorf("cannot render: %w", err)
	}
	return os.WriteFile(filepath.Join(b.dir, "objects.yaml"), objects, 0o644)
}

func (b *bench) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, filepath.Join(b.bin, program), args...)
	if program == "kubectl" {
		c = exec.CommandContext(ctx, filepath.Join(b.bin, "../.cache/cluster/kubectl"), args...)
	}
	c.Dir, c.Env = b.dir, b.env
	return c
}

// sample is one run of a command, as a whole process.
type sample struct {
	took   time.Duration
	memory int64 // most that was resident, in bytes
}

func (b *bench) time(ctx context.Context, program string, args ...string) (sample, error) {
	c := b.command(ctx, program, args...)
	began := time.Now()
	out, err := c.CombinedOutput()
	took := time.Since(began)
	if err != nil {
		return sample{}, fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, out)
	}
	usage := c.ProcessState.SysUsage().(*syscall.Rusage)
	return sample{took, usage.Maxrss << 10}, nil
}

// measure runs all in turns, so that the machine's moods meet each alike.
func (b *bench) measure(ctx context.Context) error {
	rows := map[string][]sample{}
	note := func(row string, program string, args ...string) error {
		s, err := b.time(ctx, program, args...)
		rows[row] = append(rows[row], s)
		return err
	}
	for i := range b.runs {
		ours, theirs, server := fmt.Sprintf("a%d", i), fmt.Sprintf("b%d", i), fmt.Sprintf("c%d", i)
		for _, namespace := range []string{ours, theirs, server} {
			if _, err := b.time(ctx, "kubectl", "create", "namespace", namespace); err != nil {
				return err
			}
		}
		err := errors.Join(
			note("kubectl apply of their objects", "kubectl", "apply", "-n", theirs, "-f", "objects.yaml"),
			note("deploy of 50 services", "orlop", "deploy", "-n", ours, "--wait=false"),
			note("kubectl apply --server-side", "kubectl", "apply", "--server-side", "-n", server, "-f", "objects.yaml"),
			note("plan, nothing changed", "orlop", "deploy", "plan", "-n", ours),
			note("deploy, nothing changed", "orlop", "deploy", "-n", ours),
			note("kubectl diff, nothing changed", "kubectl", "diff", "-n", theirs, "-f", "objects.yaml"),
		)
		if err != nil {
			return err
		}
	}
	fmt.Printf("%-34s %8s %8s %8s %10s\n", "", "min", "median", "max", "memory")
	for _, row := range []string{"deploy of 50 services", "kubectl apply of their objects", "kubectl apply --server-side", "plan, nothing changed", "deploy, nothing changed", "kubectl diff, nothing changed"} {
		list := rows[row]
		slices.SortFunc(list, func(x, y sample) int { return cmp.Compare(x.took, y.took) })
		most := slices.MaxFunc(list, func(x, y sample) int { return cmp.Compare(x.memory, y.memory) }).memory
		fmt.Printf("%-34s %7.3fs %7.3fs %7.3fs %7d MB\n", row, list[0].took.Seconds(), list[len(list)/2].took.Seconds(), list[len(list)-1].took.Seconds(), most>>20)
	}
	return nil
}
