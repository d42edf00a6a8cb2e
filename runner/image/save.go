package image

import (
	"context"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/orlop/orlop/runner/disk"
)

// Save writes images as an OCI archive that Docker reads too (OCI image-spec,
// image-layout.md): all platforms of them that are here whole, or one.
func (s *Store) Save(ctx context.Context, refs []string, platform string, out io.Writer) error {
	store := s.client.ContentStore()
	var all []*Details
	var held []string
	for _, ref := range refs {
		d, err := s.Details(ctx, ref, platform)
		if err != nil {
			return err
		}
		all, held = append(all, d), append(held, d.Digest.String())
	}
	release, err := s.Keep(ctx, held)
	if err != nil {
		return err
	}
	defer release()
	opts := []archive.ExportOpt{archive.WithSkipMissing(documents{store})} // of platforms that are not here
	for i, d := range all {
		if err := s.checkWhole(ctx, refs[i], d); err != nil {
			return err
		}
		opts = append(opts, archive.WithImage(s.client.ImageService(), d.Name))
	}
	if platform == "" {
		opts = append(opts, archive.WithAllPlatforms())
	}
	if err := archive.Export(ctx, store, out, append(opts, withDockerList(all, platform != "")...)...); err != nil {
		return fmt.Errorf("cannot save images: %w", disk.Explain(err, s.dir, 0))
	}
	return nil
}

// checkWhole is an error if a part of an image is not here.
func (s *Store) checkWhole(ctx context.Context, ref string, d *Details) error {
	for _, l := range d.Layers {
		isHere, err := content.Exists(ctx, s.client.ContentStore(), ocispec.Descriptor{Digest: l.Digest})
		if err != nil {
			return fmt.Errorf("cannot save image %s: %w", ref, err)
		}
		if !isHere {
			return fmt.Errorf("cannot save image %s: its layer %s is not here: pull or build it again", ref, l.Digest)
		}
	}
	return nil
}

// withDockerList has an archive list its images for readers that know no index: of each
// one platform. The exporter has one order for all of them; images of different platforms
// are for readers of OCI archives alone.
func withDockerList(all []*Details, isAsked bool) []archive.ExportOpt {
	isOwn, isOne := !isAsked, true
	for _, d := range all {
		of, err := platforms.Parse(d.Platform)
		isOwn = isOwn && err == nil && platforms.Default().Match(of)
		isOne = isOne && d.Platform == all[0].Platform
	}
	if isOwn {
		return []archive.ExportOpt{archive.WithPlatform(platforms.Default())}
	}
	if of, err := platforms.Parse(all[0].Platform); isOne && err == nil {
		return []archive.ExportOpt{archive.WithPlatform(platforms.OnlyStrict(of))}
	}
	return []archive.ExportOpt{archive.WithSkipDockerManifest()}
}
