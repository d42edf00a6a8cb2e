package image

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// matcherOf matches the images of a platform; "" is what the machine runs by itself.
func matcherOf(platform string) (platforms.MatchComparer, error) {
	if platform == "" {
		return platforms.Default(), nil
	}
	p, err := platforms.Parse(platform)
	if err != nil {
		return nil, fmt.Errorf("%q is not a platform: %w", platform, err)
	}
	return platforms.OnlyStrict(p), nil
}

// MarkLacking notes with the images of a project which platforms of them its services
// want that are not here: a name has those that were pulled.
func (s *Store) MarkLacking(ctx context.Context, p *spec.Project, found map[string]planner.Image) error {
	if p == nil {
		return nil
	}
	all := maps.Clone(p.Jobs)
	if all == nil {
		all = map[string]*spec.Service{}
	}
	maps.Copy(all, p.Services)
	for name, service := range all {
		ref := p.ImageName(name)
		img, ok := found[ref]
		if !ok || service.Build != nil || slices.Contains(img.Lacks, service.Platform) {
			continue
		}
		isHere, err := s.hasPlatform(ctx, ref, service.Platform)
		if err != nil {
			return err
		}
		if !isHere {
			img.Lacks = append(img.Lacks, service.Platform)
			found[ref] = img
		}
	}
	return nil
}

// hasPlatform says whether the image of a platform is here. What is here is not looked
// at again until an image is pulled or removed.
func (s *Store) hasPlatform(ctx context.Context, ref, platform string) (bool, error) {
	img, err := s.resolve(ctx, ref)
	if err != nil {
		return false, err
	}
	key := img.Target.Digest.String() + " " + platform
	s.mu.Lock()
	isKnown := s.present[key]
	s.mu.Unlock()
	if isKnown {
		return true, nil
	}
	isHere, err := s.findPlatform(ctx, img.Target, platform)
	if isHere && err == nil {
		s.mu.Lock()
		s.present[key] = true
		s.mu.Unlock()
	}
	return isHere, err
}

func (s *Store) findPlatform(ctx context.Context, target ocispec.Descriptor, platform string) (bool, error) {
	matcher, err := matcherOf(platform)
	if err != nil {
		return false, err
	}
	store := s.client.ContentStore()
	manifest, err := images.Manifest(ctx, store, target, matcher)
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	// An image that is of one platform alone is what was asked for, where nobody says which.
	if err != nil || platform == "" || !images.IsManifestType(target.MediaType) {
		return err == nil, err
	}
	of, err := images.ConfigPlatform(ctx, store, manifest.Config)
	return err == nil && matcher.Match(of), err
}

// forget looks at all images anew.
func (s *Store) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.present)
}
