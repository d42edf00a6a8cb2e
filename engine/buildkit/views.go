package buildkit

import (
	"context"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/orlop/orlop/engine/layers"
	"github.com/orlop/orlop/runner/image"
)

// madeBlobs is a content store for BuildKit: layers that are kept as they are made, not
// compressed, are views. BuildKit writes them under the names of their snapshots.
type madeBlobs struct {
	content.Store
	snapshots snapshots.Snapshotter
}

// Writer implements content.Ingester.
func (s madeBlobs) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	var w content.WriterOpts
	for _, o := range opts {
		if err := o(&w); err != nil {
			return nil, err
		}
	}
	if w.Desc.MediaType != ocispec.MediaTypeImageLayer || w.Desc.Digest != "" {
		return s.Store.Writer(ctx, opts...)
	}
	info, err := s.snapshots.Stat(ctx, w.Ref)
	if err != nil || info.Kind != snapshots.KindCommitted || layers.Dir(info) == "" {
		return s.Store.Writer(ctx, opts...)
	}
	writer, err := s.Store.Writer(layers.MadeOf(ctx, layers.Dir(info)), opts...)
	if err != nil {
		return nil, err
	}
	return madeWriter{writer, w.Ref}, nil
}

// madeWriter has the blob hold the snapshot that it is a view of.
type madeWriter struct {
	content.Writer
	snapshot string
}

// Commit implements content.Writer.
func (w madeWriter) Commit(ctx context.Context, size int64, expected digest.Digest, opts ...content.Opt) error {
	return w.Writer.Commit(ctx, size, expected, append(opts, func(info *content.Info) error {
		if info.Labels == nil {
			info.Labels = map[string]string{}
		}
		info.Labels[image.LabelView] = w.snapshot
		return nil
	})...)
}

// madeLeases are leases for BuildKit. Its own are flat: what a blob in one refers to is not
// held by it. So that which holds a view holds the snapshot as well.
type madeLeases struct {
	leases.Manager
	content content.InfoProvider
}

// AddResource implements leases.Manager.
func (m madeLeases) AddResource(ctx context.Context, lease leases.Lease, r leases.Resource) error {
	if err := m.Manager.AddResource(ctx, lease, r); err != nil || r.Type != "content" {
		return err
	}
	info, err := m.content.Info(ctx, digest.Digest(r.ID))
	switch {
	case errdefs.IsNotFound(err): // it is not there yet
		return nil
	case err != nil:
		return err
	case info.Labels[image.LabelView] == "": // a blob like others
		return nil
	}
	return m.Manager.AddResource(ctx, lease, leases.Resource{ID: info.Labels[image.LabelView], Type: "snapshots/" + snapshotter})
}
