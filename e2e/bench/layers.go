package main

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"
	"time"
)

// written and writtenFiles are the megabytes that a build step writes, and in how many files.
const (
	written      = 400
	writtenFiles = 20000
)

// largeLayers measures a build whose one step writes many files, the first container of what is built, and what
// the disk has more then.
func largeLayers(ctx context.Context, b *bench) ([]float64, error) {
	size := written * 1_000_000 / writtenFiles
	step := fmt.Sprintf(`awk 'BEGIN { s = sprintf("%%%ds", ""); for (i = 0; i < %d; i++) { f = "/d/" i; printf "%%s", s > f; close(f) } }'`, size, writtenFiles)
	dir, err := b.stack(map[string]string{
		"stack.yaml": "services:\n  app: {build: ., command: sleep infinity, stop_grace_period: 0s}\n",
		"Dockerfile": fmt.Sprintf("FROM busybox\nRUN echo %d && mkdir /d && %s\n", time.Now().UnixNano(), step),
	})
	if err != nil {
		return nil, err
	}
	before, err := onDisk(b.engine.Root)
	if err != nil {
		return nil, err
	}
	took, err := b.steps(ctx, dir, "build", "up -d")
	if err != nil {
		return nil, err
	}
	after, err := onDisk(b.engine.Root)
	if err != nil {
		return nil, err
	}
	if _, err = b.steps(ctx, dir, ":down --rmi all", ":cache prune --all --force"); err != nil {
		return nil, err
	}
	return append(took, float64(after-before)/1e6), settled(ctx, b.engine.Root, before)
}

// settled waits until the disk has what it had before, for files are deleted behind the answer, and has written that:
// it would slow down the next measurement.
func settled(ctx context.Context, dir string, before int64) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		now, err := onDisk(dir)
		if err != nil {
			return err
		}
		if now < before+10e6 {
			syscall.Sync()
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%d MB that nothing needs are not deleted", (now-before)/1e6)
		}
	}
}

// onDisk is how many bytes the files below a directory take.
func onDisk(dir string) (bytes int64, err error) {
	seen := map[uint64]bool{} // files of several names
	err = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil // it was removed meanwhile
		}
		info, err := e.Info()
		if err != nil {
			return nil
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && !seen[st.Ino] {
			seen[st.Ino] = true
			bytes += st.Blocks * 512
		}
		return nil
	})
	return bytes, err
}
