package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// loading measures what a large stack file costs to load: the processor time of a
// command that only checks it, without that of one that does nothing.
func loading(ctx context.Context, b *bench) ([]float64, error) {
	service, err := os.ReadFile(filepath.Join(b.repo, "spec", "stackfile", "testdata", "large", "service.yaml"))
	if err != nil {
		return nil, err
	}
	var text strings.Builder
	text.WriteString("services:\n  s100: {image: busybox, healthcheck: {test: [CMD, \"true\"]}}\n")
	for i := 101; i < 600; i++ {
		text.WriteString(strings.NewReplacer("N", strconv.Itoa(i), "sP", fmt.Sprint("s", i-1)).Replace(string(service)))
	}
	text.WriteString("volumes:\n  data:\nnetworks:\n  front:\n  back:\n")
	dir, err := b.stack(map[string]string{"stack.yaml": text.String()})
	if err != nil {
		return nil, err
	}
	begin, err := b.spent(ctx, dir, "version")
	if err != nil {
		return nil, err
	}
	whole, err := b.spent(ctx, dir, "config", "-q")
	return []float64{begin, whole - begin}, err
}

// spent is the processor time of a command, in seconds: the least of some runs, as what
// else goes on in the machine only adds to it.
func (b *bench) spent(ctx context.Context, dir string, args ...string) (float64, error) {
	least := 0.0
	for i := range 5 {
		cmd := exec.CommandContext(ctx, filepath.Join(b.bin, "orlop"), args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), b.engine.Env()...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return 0, fmt.Errorf("orlop %s: %w\n%s", strings.Join(args, " "), err, out)
		}
		if took := (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(); i == 0 || took < least {
			least = took
		}
	}
	return least, nil
}
