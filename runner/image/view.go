package image

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/opencontainers/image-spec/identity"
)

// viewOf is the name of a view of the n-th image that a container mounts.
func viewOf(container string, n int) string { return container + "-image-" + strconv.Itoa(n) }

// View makes a view of the image's file system for a container that mounts it, as the
// n-th of those. It keeps the layers, whatever becomes of the image, until RemoveViews.
func (i *Image) View(ctx context.Context, container string, n int, now time.Time) error {
	if err := i.admit(ctx); err != nil {
		return err
	}
	chain := identity.ChainID(i.diffs).String()
	if err := i.unpack(ctx, chain); err != nil {
		return err
	}
	root := snapshots.WithLabels(map[string]string{"containerd.io/gc.root": now.Format(time.RFC3339)})
	if _, err := i.store.client.SnapshotService(Snapshotter).View(ctx, viewOf(container, n), chain, root); err != nil {
		return fmt.Errorf("cannot make a view of image %s: %w", i.Name, err)
	}
	return nil
}

// ViewMounts are the mounts of a view.
func (s *Store) ViewMounts(ctx context.Context, container string, n int) ([]mount.Mount, error) {
	return s.client.SnapshotService(Snapshotter).Mounts(ctx, viewOf(container, n))
}

// mostViews is how many images a container may mount.
const mostViews = 256

// RemoveViews removes the views of a container. What can't be is tried again with the
// next engine only where the container was never finished.
func (s *Store) RemoveViews(ctx context.Context, container string) {
	snapshotter := s.client.SnapshotService(Snapshotter)
	for n := range mostViews {
		if _, err := snapshotter.Stat(ctx, viewOf(container, n)); err != nil {
			return
		}
		_ = snapshotter.Remove(ctx, viewOf(container, n)) // the next ones may go
	}
}

// Views gives the mounts of the file system of an image of a platform, and what it consists
// of, until release is called.
func (s *Store) Views(ctx context.Context, ref, platform string) (_ *Details, _ []mount.Mount, release func(), err error) {
	details, err := s.Details(ctx, ref, platform)
	if err != nil {
		return nil, nil, nil, err
	}
	img, err := s.At(ctx, details.Name, details.Digest.String(), details.Platform)
	if err != nil {
		return nil, nil, nil, err
	}
	keep, err := s.Keep(ctx, []string{details.Digest.String()})
	if err != nil {
		return nil, nil, nil, err
	}
	defer func() {
		if err != nil {
			keep()
		}
	}()
	chain := identity.ChainID(img.diffs).String()
	if err := img.unpack(ctx, chain); err != nil {
		return nil, nil, nil, err
	}
	name, snapshotter := "view-"+rand.Text(), s.client.SnapshotService(Snapshotter)
	root := snapshots.WithLabels(map[string]string{"containerd.io/gc.expire": time.Now().Add(viewTime).Format(time.RFC3339)})
	mounts, err := snapshotter.View(ctx, name, chain, root)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("cannot make a view of image %s: %w", ref, err)
	}
	return details, mounts, func() {
		_ = snapshotter.Remove(context.WithoutCancel(ctx), name) // one that stays expires
		keep()
	}, nil
}

// viewTime is how long a view stays that an engine which was killed has made.
const viewTime = 24 * time.Hour
