package buildkit

import (
	"context"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/orlop/orlop/failpoint"
	"github.com/orlop/orlop/runner/image"
)

// BuildKit calls containerd's services with contexts of its own. Over gRPC
// the client's interceptor would name the namespace; in memory these do.

// inNamespace names a namespace of containerd in contexts.
type inNamespace string

func (n inNamespace) named(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, string(n))
}

type namedApplier struct {
	diff.Applier
	inNamespace
}

func (a namedApplier) Apply(ctx context.Context, desc ocispec.Descriptor, mounts []mount.Mount, opts ...diff.ApplyOpt) (ocispec.Descriptor, error) {
	// Its files are on the disk before its record is.
	return a.Applier.Apply(a.named(ctx), desc, mounts, append(opts, diff.WithSyncFs(true))...)
}

type namedDiffer struct {
	diff.Comparer
	inNamespace
}

func (d namedDiffer) Compare(ctx context.Context, lower, upper []mount.Mount, opts ...diff.Opt) (ocispec.Descriptor, error) {
	return d.Comparer.Compare(d.named(ctx), lower, upper, opts...)
}

// namedImages has images under their full names, as users find them: another
// client of BuildKit may ask for a short one.
type namedImages struct {
	images.Store
	content content.Manager
	inNamespace
}

func fullName(name string) string {
	if full, err := image.Normalize(name); err == nil {
		return full
	}
	return name
}

func (s namedImages) Get(ctx context.Context, name string) (images.Image, error) {
	img, err := s.Store.Get(s.named(ctx), fullName(name))
	if err == nil && image.CheckDigest(img.Name, img.Target.Digest) != nil {
		return images.Image{}, errdefs.ErrNotFound // a FROM with the digest takes what has it
	}
	return img, err
}

func (s namedImages) List(ctx context.Context, filters ...string) ([]images.Image, error) {
	return s.Store.List(s.named(ctx), filters...)
}

func (s namedImages) Create(ctx context.Context, image images.Image) (images.Image, error) {
	image.Name = fullName(image.Name)
	if err := failpoint.Fail("buildkit/naming"); err != nil {
		return image, err
	}
	if err := s.made(ctx, image); err != nil {
		return image, err
	}
	return s.Store.Create(s.named(ctx), image)
}

func (s namedImages) Update(ctx context.Context, image images.Image, fieldpaths ...string) (images.Image, error) {
	image.Name = fullName(image.Name)
	if err := failpoint.Fail("buildkit/renaming"); err != nil {
		return image, err
	}
	if err := s.made(ctx, image); err != nil {
		return image, err
	}
	return s.Store.Update(s.named(ctx), image, fieldpaths...)
}

// made notes that an image was built here.
func (s namedImages) made(ctx context.Context, img images.Image) error {
	return image.MarkMade(s.named(ctx), s.content, img.Target.Digest)
}

func (s namedImages) Delete(ctx context.Context, name string, opts ...images.DeleteOpt) error {
	return s.Store.Delete(s.named(ctx), fullName(name), opts...)
}
