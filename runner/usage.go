package runner

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"

	"github.com/containerd/errdefs"
)

// DiskUse is how many bytes a project takes on the disk beside its images: the
// writable layers of its containers, and its volumes.
func (r *Runner) DiskUse(ctx context.Context, project string) (int64, error) {
	var total int64
	names := map[string]bool{}
	for _, c := range r.Containers(project) {
		use, err := r.client.SnapshotService(snapshotter).Usage(ctx, c.ID)
		if err != nil && !errdefs.IsNotFound(err) {
			return 0, fmt.Errorf("cannot measure the writable layer of %s: %w", c.Name, err)
		}
		total += use.Size
		if live := r.lookup(c.ID); live != nil {
			for _, name := range live.snapshot().Anonymous {
				names[name] = true
			}
		}
	}
	for name := range r.volumes.observed(project, nil) {
		names[name] = true
	}
	for name := range names {
		size, err := treeSize(r.volumes.data(name))
		if err != nil {
			return 0, fmt.Errorf("cannot measure volume %s: %w", name, err)
		}
		total += size
	}
	return total, nil
}

// treeSize is how much of the disk the files below a directory take; what goes
// away meanwhile does not count, and a file with many names counts once.
func treeSize(dir string) (int64, error) {
	var total int64
	seen := map[uint64]bool{}
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // it is gone
		}
		info, err := d.Info()
		if err != nil || d.IsDir() {
			return nil
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			total += info.Size()
			return nil
		}
		if st.Nlink > 1 && seen[st.Ino] {
			return nil
		}
		seen[st.Ino] = st.Nlink > 1
		total += st.Blocks * 512
		return nil
	})
	return total, err
}
