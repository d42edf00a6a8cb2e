package image

import (
	"context"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/orlop/orlop/runner/disk"
)

// Save writes images as an OCI archive that Docker reads too (OCI image-spec,
// image-layout.md): all platforms of them that are here, or one.
func (s *Store) Save(ctx context.Context, refs []string, platform string, out io.Writer) error {
	opts := []archive.ExportOpt{archive.WithSkipMissing(documents{s.client.ContentStore()})}
	var first []ocispec.Platform // of each image, what a reader that knows no index takes
	for _, ref := range refs {
		d, err := s.Details(ctx, ref, platform)
		if err != nil {
			return err
		}
		p, err := platforms.Parse(d.Platform)
		if err != nil {
			return fmt.Errorf("cannot save image %s: its platform %q is none: %w", ref, d.Platform, err)
		}
		first = append(first, p)
		opts = append(opts, archive.WithImage(s.client.ImageService(), d.Name))
	}
	opts = append(opts, archive.WithPlatform(platforms.Any(first...)))
	if platform == "" {
		opts = append(opts, archive.WithAllPlatforms())
	}
	if err := archive.Export(ctx, s.client.ContentStore(), out, opts...); err != nil {
		return fmt.Errorf("cannot save images: %w", disk.Explain(err, s.dir, 0))
	}
	return nil
}
