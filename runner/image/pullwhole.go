package image

import (
	"context"
	"fmt"
	"strings"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
)

// PullWhole fetches all of an image that is named by its digest: each platform of an index, and what is attested of them. It unpacks
// nothing, and asks no registry for what is here whole, under whatever name, unless the gate does not admit it by this one: a signature, say,
// is looked for in the registry alone.
func (s *Store) PullWhole(ctx context.Context, ref string, credentials func(host string) (string, string, error), progress Progress) (changed bool, err error) {
	name, err := Normalize(ref)
	if err != nil {
		return false, err
	}
	_, of, isPinned := strings.Cut(name, "@")
	if !isPinned {
		return false, fmt.Errorf("internal error: %s is to be fetched whole, and has no digest", ref)
	}
	list, err := s.client.ImageService().List(ctx, "target.digest=="+of)
	if err != nil {
		return false, fmt.Errorf("cannot list images: %w", err)
	}
	for _, img := range list {
		if lacking, err := s.lacking(ctx, img.Target, map[digest.Digest]bool{}); err != nil || lacking != "" {
			continue
		}
		if s.Gate != nil && s.Gate.Use(ctx, name, img.Target.Digest) != nil {
			break
		}
		_, err := s.client.ImageService().Create(ctx, images.Image{Name: name, Target: img.Target})
		if err != nil && !errdefs.IsAlreadyExists(err) {
			return false, fmt.Errorf("cannot name %s: %w", name, err)
		}
		return err == nil, nil
	}
	return s.fetch(ctx, ref, name, platforms.All, credentials, progress, func(ctx context.Context, _ *pullWatch, opts ...containerd.RemoteOpt) (images.Image, error) {
		return s.client.Fetch(ctx, name, opts...)
	})
}
