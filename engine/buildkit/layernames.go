package buildkit

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/labels"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/moby/buildkit/cache"
	cacheconfig "github.com/moby/buildkit/cache/config"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/snapshot"
	"github.com/moby/buildkit/util/leaseutil"
	"github.com/moby/buildkit/util/overlay"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"

	"github.com/orlop/orlop/engine/layers"
	"github.com/orlop/orlop/failpoint"
	"github.com/orlop/orlop/runner/disk"
	"github.com/orlop/orlop/runner/image"
)

// knownLayers are snapshots for BuildKit, which unpacks layers under names of its own: one
// that an image is unpacked to already has that name, too.
type knownLayers struct {
	snapshots.Snapshotter
	content content.Manager
}

// Stat implements snapshots.Snapshotter.
func (s knownLayers) Stat(ctx context.Context, key string) (snapshots.Info, error) {
	info, err := s.Snapshotter.Stat(ctx, key)
	chain, isLayer := snapshot.ParseLayerSnapshotID(key)
	if !isLayer || !errdefs.IsNotFound(err) {
		return info, err
	}
	known, missing := s.Snapshotter.Stat(ctx, chain.String())
	if missing != nil || known.Kind != snapshots.KindCommitted {
		return info, err
	}
	parent := known.Parent
	if below, err := digest.Parse(parent); err == nil { // BuildKit compares parents by its own names
		parent = snapshot.LayerSnapshotID(below)
		if _, err := s.Stat(ctx, parent); err != nil {
			return info, errdefs.ErrNotFound
		}
	}
	if err := layers.Same(ctx, s.Snapshotter, key, parent, layers.Dir(known)); err != nil {
		return info, errdefs.ErrNotFound // BuildKit unpacks the layer again
	}
	return s.Snapshotter.Stat(ctx, key)
}

// Usage implements snapshots.Snapshotter. BuildKit adds the size of a snapshot's blob, and a view of it takes nothing.
func (s knownLayers) Usage(ctx context.Context, key string) (snapshots.Usage, error) {
	use, err := s.Snapshotter.Usage(ctx, key)
	if err != nil {
		return use, err
	}
	err = s.content.Walk(ctx, func(info content.Info) error {
		use.Size = max(0, use.Size-info.Size)
		return nil
	}, fmt.Sprintf("labels.%q==%q", image.LabelView, key))
	return use, err
}

// namingExporter names the snapshots of an image before BuildKit looks whether it is unpacked.
type namingExporter struct {
	exporter.Exporter
	w admittedWorker
}

// Exporter implements worker.Worker.
func (w admittedWorker) Exporter(name string, sm *session.Manager) (exporter.Exporter, error) {
	x, err := w.Worker.Exporter(name, sm)
	if err != nil || name != client.ExporterImage {
		return x, err
	}
	return namingExporter{x, w}, nil
}

// Resolve implements exporter.Exporter.
func (x namingExporter) Resolve(ctx context.Context, id int, attrs map[string]string) (exporter.ExporterInstance, error) {
	i, err := x.Exporter.Resolve(ctx, id, attrs)
	text, asked := attrs[string(exptypes.OptKeyUnpack)]
	if unpack, perr := strconv.ParseBool(text); err != nil || !asked || text != "" && (perr != nil || !unpack) {
		return i, err
	}
	return namingInstance{i, x.w}, nil
}

type namingInstance struct {
	exporter.ExporterInstance
	w admittedWorker
}

// Export implements exporter.ExporterInstance.
func (i namingInstance) Export(ctx context.Context, src *exporter.Source, info exporter.ExportBuildInfo) (map[string]string, exporter.FinalizeFunc, exporter.DescriptorReference, error) {
	// The names are to be there until the image refers to them: by the lease of the solve, or by one of their own where it has none.
	held, done, err := leaseutil.WithLease(ctx, i.w.LeaseManager(), leaseutil.MakeTemporary)
	if err != nil {
		return nil, nil, nil, err
	}
	defer done(context.WithoutCancel(ctx))
	refs := []cache.ImmutableRef{src.Ref}
	for _, ref := range src.Refs {
		refs = append(refs, ref)
	}
	for _, ref := range refs {
		if ref == nil {
			continue
		}
		if err := i.name(held, ref, session.NewGroup(info.SessionID)); err != nil {
			log.G(ctx).WithError(err).Warn("the layers of an image are unpacked once more")
		}
	}
	failpoint.Hit("buildkit/layers-named")
	return i.ExporterInstance.Export(ctx, src, info)
}

// name gives the snapshots of what was built the names that its layers are unpacked under.
func (i namingInstance) name(ctx context.Context, ref cache.ImmutableRef, s session.Group) error {
	remotes, err := ref.GetRemotes(ctx, true, cacheconfig.RefConfig{Compression: i.Config().Compression()}, false, s)
	if err != nil {
		return err
	}
	diffs := make([]digest.Digest, 0, len(remotes[0].Descriptors))
	for _, d := range remotes[0].Descriptors {
		diffs = append(diffs, digest.Digest(d.Annotations[labels.LabelUncompressed]))
	}
	all, end := snapshot.NewContainerdSnapshotter(i.w.Snapshotter)
	defer end()
	if _, err := all.Stat(ctx, identity.ChainID(slices.Clone(diffs)).String()); err == nil {
		return nil
	}
	mountable, err := ref.Mount(ctx, true, s)
	if err != nil {
		return err
	}
	mounts, release, err := mountable.Mount()
	if err != nil {
		return err
	}
	defer release()
	dirs := directories(mounts)
	if len(dirs) != len(diffs) || len(dirs) == 0 {
		return nil // several layers are in one snapshot
	}
	// Steps are synced when they are done. What BuildKit merges of several, it does when it is mounted.
	if err := disk.Sync(dirs[len(dirs)-1]); err != nil {
		return err
	}
	below := namedSnapshot{}
	for n, dir := range dirs {
		chain := identity.ChainID(slices.Clone(diffs[:n+1])).String()
		if same, err := below.name(ctx, all, chain, dir); err != nil || !same {
			return err
		}
		below = namedSnapshot{chain, dir}
	}
	return nil
}

// namedSnapshot is a snapshot by the name that its layer is unpacked under.
type namedSnapshot struct{ chain, dir string }

// name gives the snapshot in a directory, which is on this one, its name. It says whether that is the snapshot of the
// name then: another one may have been unpacked before.
func (below namedSnapshot) name(ctx context.Context, all snapshots.Snapshotter, chain, dir string) (bool, error) {
	info, err := all.Stat(ctx, chain)
	if err == nil {
		return layers.Dir(info) == dir, nil
	}
	if !errdefs.IsNotFound(err) {
		return false, err
	}
	whole, err := layers.IsWhole(dir, below.dir)
	if err != nil || !whole { // elsewhere the image would have other files
		return false, err
	}
	if err := layers.Same(ctx, all, chain, below.chain, dir); err != nil {
		return false, err
	}
	info, err = all.Stat(ctx, chain)
	return err == nil && layers.Dir(info) == dir, err
}

// directories are those of the snapshots that are mounted, the lowest first.
func directories(mounts []mount.Mount) []string {
	if len(mounts) != 1 {
		return nil
	}
	if m := mounts[0]; !overlay.IsOverlayMountType(m) {
		return []string{m.Source}
	}
	dirs, err := overlay.GetOverlayLayers(mount.Mount{Options: slices.DeleteFunc(slices.Clone(mounts[0].Options), func(o string) bool {
		return !strings.HasPrefix(o, "lowerdir=")
	})})
	if err != nil {
		return nil
	}
	return dirs
}
