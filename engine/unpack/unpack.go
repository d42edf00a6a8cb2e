// Package unpack unpacks the layers of images into snapshots, for whoever asks
// containerd to: pulls, loads, builds and the clients of others. It does as
// containerd's own differ, within bounds: what a layer says is untrusted, and a
// few kilobytes of it can stand for a terabyte. It must know nothing of what
// images are for.
package unpack

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/containerd/v2/plugins/diff/walking"
	"github.com/containerd/platforms"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
	"github.com/moby/sys/userns"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// Register makes it containerd's differ: in the place, and under the ID, of the
// one that containerd brings, which its services ask for by default.
func Register() {
	registry.Register(&plugin.Registration{
		Type:     plugins.DiffPlugin,
		ID:       "walking",
		Requires: []plugin.Type{plugins.MetadataPlugin},
		InitFn: func(ic *plugin.InitContext) (any, error) {
			md, err := ic.GetSingle(plugins.MetadataPlugin)
			if err != nil {
				return nil, err
			}
			ic.Meta.Platforms = append(ic.Meta.Platforms, platforms.DefaultSpec())
			cs := md.(*metadata.DB).ContentStore()
			return differ{walking.NewWalkingDiff(cs), Applier{cs}}, nil
		},
	})
}

type differ struct {
	diff.Comparer
	diff.Applier
}

// Applier unpacks layers of a content store.
type Applier struct{ content content.Provider }

// told is who is told how far the unpacking of a layer is.
type told struct{}

// Telling has a function told how much of a layer, as it is stored, is read. Of what goes
// by containerd's services an applier is told by this alone.
func Telling(ctx context.Context, tell func(layer ocispec.Descriptor, bytes int64)) context.Context {
	return context.WithValue(ctx, told{}, tell)
}

// Apply unpacks a layer onto mounts and gives the descriptor of its uncompressed
// form.
func (a Applier) Apply(ctx context.Context, desc ocispec.Descriptor, mounts []mount.Mount, opts ...diff.ApplyOpt) (ocispec.Descriptor, error) {
	var config diff.ApplyConfig
	for _, o := range opts {
		if err := o(ctx, desc, &config); err != nil {
			return ocispec.Descriptor{}, err
		}
	}
	ra, err := a.content.ReaderAt(ctx, desc)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("cannot read layer %s: %w", desc.Digest, err)
	}
	defer ra.Close()
	blob := &progress{from: content.NewReader(ra), tell: config.Progress}
	if tell, ok := ctx.Value(told{}).(func(ocispec.Descriptor, int64)); ok {
		blob.tell = func(bytes int64) { tell(desc, bytes) }
	}
	defer blob.done()
	stream, err := decompress(ctx, desc.MediaType, blob, config)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("cannot read layer %s: %w", desc.Digest, err)
	}
	defer stream.Close()
	sum := digest.Canonical.Digester()
	read := &progress{from: io.TeeReader(stream, sum.Hash())}
	if err := apply(ctx, desc.Digest, mounts, read, config.SyncFs); err != nil {
		return ocispec.Descriptor{}, err
	}
	if _, err := io.Copy(io.Discard, read); err != nil { // what follows the archive is part of the layer's digest
		return ocispec.Descriptor{}, err
	}
	if broken, ok := stream.(interface{ Err() error }); ok && broken.Err() != nil {
		return ocispec.Descriptor{}, broken.Err()
	}
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Size: read.bytes, Digest: sum.Digest()}, nil
}

// decompress gives the archive in a blob.
func decompress(ctx context.Context, mediaType string, blob io.Reader, config diff.ApplyConfig) (diff.StreamProcessor, error) {
	p := diff.NewProcessorChain(mediaType, blob)
	for {
		next, err := diff.GetProcessor(ctx, p, config.ProcessorPayloads)
		if err != nil {
			p.Close()
			return nil, fmt.Errorf("%s is no media type of a layer: %w", mediaType, err)
		}
		p = next
		if p.MediaType() == ocispec.MediaTypeImageLayer {
			return p, nil
		}
	}
}

// apply unpacks an archive onto mounts. Those of an overlay are not mounted: what
// it needs is written into the upper directory.
func apply(ctx context.Context, layer digest.Digest, mounts []mount.Mount, in io.Reader, sync bool) error {
	// In a user namespace nobody makes the devices that stand for what is removed.
	if len(mounts) == 1 && mounts[0].Type == "overlay" && !userns.RunningInUserNS() {
		if upper, lower := overlay(mounts[0].Options); upper != "" {
			return write(ctx, layer, upper, in, sync, archive.WithConvertWhiteout(archive.OverlayConvertWhiteout), archive.WithParents(lower))
		}
	}
	return mount.WithTempMount(ctx, mounts, func(root string) error { return write(ctx, layer, root, in, sync) })
}

func write(ctx context.Context, layer digest.Digest, root string, in io.Reader, sync bool, opts ...archive.ApplyOpt) error {
	b := &bounds{layer: layer, root: root}
	if _, err := archive.Apply(ctx, root, in, append(opts, archive.WithFilter(b.check))...); err != nil {
		return err
	}
	if !sync {
		return nil
	}
	dir, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("cannot open %s: %w", root, err)
	}
	defer unix.Close(dir)
	if err := unix.Syncfs(dir); err != nil {
		return fmt.Errorf("cannot write %s to the disk: %w", root, err)
	}
	return nil
}

// overlay are the directories that an overlay's options name.
func overlay(options []string) (upper string, lower []string) {
	for _, o := range options {
		if dir, ok := strings.CutPrefix(o, "upperdir="); ok {
			upper = dir
		} else if dirs, ok := strings.CutPrefix(o, "lowerdir="); ok {
			lower = strings.Split(dirs, ":")
		}
	}
	return upper, lower
}

// progress counts what is read, and tells of it before each reading.
type progress struct {
	from  io.Reader
	tell  func(bytes int64) // may be nil
	bytes int64
}

func (p *progress) Read(b []byte) (int, error) {
	p.done()
	n, err := p.from.Read(b)
	p.bytes += int64(n)
	return n, err
}

func (p *progress) done() {
	if p.tell != nil {
		p.tell(p.bytes)
	}
}
